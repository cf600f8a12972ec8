//! Tables. A grid streams: the first rows decide how wide its columns are, the others follow as they come, so that a
//! log of any length is printed in constant memory. On a terminal every row is one line that fits; elsewhere nothing
//! is cut off.

use super::fail::Done;
use super::out::Out;
use super::paint::Style;
use super::text;

/// Rows that are held back to find the widths of the columns.
const SAMPLE_ROWS: usize = 256;
/// Blanks between two columns.
const GAP: usize = 2;
/// Columns of the terminal below which no column is narrowed to make a row fit.
const NARROWEST: usize = 6;

/// One column of a grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    /// Whether it gives way first on a narrow terminal.
    gives_way: bool,
    style: Style,
}

impl Column {
    /// Text, from the left.
    pub(crate) const fn text(title: &'static str) -> Column {
        Column { title, right: false, gives_way: false, style: Style::Plain }
    }

    /// A number, to the right.
    pub(crate) const fn number(title: &'static str) -> Column {
        Column { title, right: true, gives_way: false, style: Style::Plain }
    }

    /// The column that is narrowed first.
    pub(crate) const fn giving_way(mut self) -> Column {
        self.gives_way = true;
        self
    }

    /// How its cells look where they do not say so themselves.
    pub(crate) const fn styled(mut self, style: Style) -> Column {
        self.style = style;
        self
    }
}

/// One cell: a clean text, and how it looks.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Cell {
        Cell { style: Some(style), ..Cell::from(text.as_ref()) }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell { text: text::clean(text).into_owned(), style: None }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::from(text.as_str())
    }
}

/// A table that is being printed.
pub(crate) struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// Known once the first rows were printed.
    widths: Option<Vec<usize>>,
}

impl Grid {
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Grid {
        Grid { columns: columns.into_iter().collect(), rows: Vec::new(), widths: None }
    }

    /// Adds a row; prints it as soon as the widths are known.
    pub(crate) fn row(&mut self, out: &mut Out, cells: impl IntoIterator<Item = Cell>) -> Done {
        let cells: Vec<Cell> = cells.into_iter().collect();
        match &self.widths {
            Some(widths) => print(out, &self.columns, widths, &cells),
            None => {
                self.rows.push(cells);
                if self.rows.len() < SAMPLE_ROWS { Ok(()) } else { self.settle(out) }
            }
        }
    }

    /// Prints what was held back, if there are rows at all.
    pub(crate) fn settle(&mut self, out: &mut Out) -> Done {
        if self.widths.is_some() || self.rows.is_empty() {
            return Ok(());
        }
        let widths = widths(&self.columns, &self.rows, out.width);
        if self.columns.iter().any(|column| !column.title.is_empty()) {
            let titles = self.columns.iter().map(|column| Cell::styled(column.title, Style::Bold));
            print(out, &self.columns, &widths, &titles.collect::<Vec<_>>())?;
            let rules = widths.iter().map(|width| Cell::styled("─".repeat(*width), Style::Dim));
            print(out, &self.columns, &widths, &rules.collect::<Vec<_>>())?;
        }
        for row in std::mem::take(&mut self.rows) {
            print(out, &self.columns, &widths, &row)?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

/// The widths of all columns: what they need, or less where the terminal is too narrow.
fn widths(columns: &[Column], rows: &[Vec<Cell>], terminal: Option<usize>) -> Vec<usize> {
    let needs = |(index, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| text::width(&cell.text));
        cells.chain([text::width(column.title)]).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = columns.iter().enumerate().map(needs).collect();
    let Some(terminal) = terminal else { return widths };
    let room = terminal.saturating_sub(GAP * columns.len().saturating_sub(1));
    let mut excess = widths.iter().sum::<usize>().saturating_sub(room);
    // First the columns that are meant to give way, down to a useful rest, then whichever is the widest.
    for (width, _) in widths.iter_mut().zip(columns).filter(|(_, column)| column.gives_way) {
        let cut = excess.min(width.saturating_sub(4 * NARROWEST));
        *width -= cut;
        excess -= cut;
    }
    while excess > 0 {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => break,
        }
        excess -= 1;
    }
    widths
}

fn print(out: &mut Out, columns: &[Column], widths: &[usize], cells: &[Cell]) -> Done {
    let mut line = String::new();
    let mut owed = 0;
    let mut room = out.width.unwrap_or(usize::MAX);
    for (index, ((column, width), cell)) in columns.iter().zip(widths).zip(cells).enumerate() {
        if index > 0 {
            owed += GAP;
        }
        let shown = match out.width {
            Some(_) => text::fit(&cell.text, (*width).min(room.saturating_sub(owed))),
            None => cell.text.as_str().into(),
        };
        let blank = width.saturating_sub(text::width(&shown));
        if column.right {
            owed += blank;
        }
        if !shown.is_empty() {
            line.push_str(&" ".repeat(owed));
            room = room.saturating_sub(owed + text::width(&shown));
            line.push_str(&out.paint.style(cell.style.unwrap_or(column.style), &shown));
            owed = 0;
        }
        // Blanks at the end of a line are owed until something follows them.
        if !column.right {
            owed += blank;
        }
    }
    out.line(line)
}

/// Names and values, one pair a line.
pub(crate) fn pairs<'a>(out: &mut Out, pairs: impl IntoIterator<Item = (&'a str, String)>) -> Done {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let widest = pairs.iter().map(|(name, _)| text::width(name)).max().unwrap_or(0);
    for (name, value) in pairs {
        let name = out.paint.dim(&format!("{name:widest$}"));
        out.line(format_args!("{name}  {}", text::clean(&value)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<Cell> {
        cells.iter().map(|text| Cell::from(*text)).collect()
    }

    const COLUMNS: [Column; 3] =
        [Column::number("position"), Column::text("subject"), Column::text("data").giving_way()];

    #[test]
    fn columns_take_what_they_need_where_nothing_has_to_fit() {
        let rows = [row(&["1", "note/n-1", &"x".repeat(300)])];
        assert_eq!(widths(&COLUMNS, &rows, None), [8, 8, 300]);
    }

    #[test]
    fn the_preview_gives_way_first_then_the_widest() {
        let rows = [row(&["1", &"s".repeat(40), &"x".repeat(300)])];
        assert_eq!(widths(&COLUMNS, &rows, Some(100)), [8, 40, 48]);
        assert_eq!(widths(&COLUMNS, &rows, Some(60)).iter().sum::<usize>(), 56);
        // Narrower than any row can be: the line itself is cut when it is printed.
        assert_eq!(widths(&COLUMNS, &rows, Some(10)), [6, 6, 6]);
    }
}
