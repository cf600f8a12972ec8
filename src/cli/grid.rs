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
/// What a column that gives way keeps at first, and what it keeps where that is not enough.
const GIVING_WAY: [usize; 2] = [24, 10];
/// What any other text keeps.
const TEXT_KEPT: usize = 8;

/// One column of a grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    /// Whether it gives way first on a narrow terminal.
    gives_way: bool,
    /// Whether it is shown whole or not at all.
    whole: bool,
    /// In which round it is left out on a narrow terminal: 1 before 2; 0 never.
    left_out: u8,
    style: Style,
}

impl Column {
    /// Text, from the left.
    pub(crate) const fn text(title: &'static str) -> Column {
        Column { title, right: false, gives_way: false, whole: false, left_out: 0, style: Style::Plain }
    }

    /// A number, to the right.
    pub(crate) const fn number(title: &'static str) -> Column {
        Column { right: true, whole: true, ..Column::text(title) }
    }

    /// The column that is narrowed first.
    pub(crate) const fn giving_way(mut self) -> Column {
        self.gives_way = true;
        self
    }

    /// A text that says nothing once it is cut, such as a time.
    pub(crate) const fn whole(mut self) -> Column {
        self.whole = true;
        self
    }

    /// Whether its texts are cut where giving way was not enough.
    const fn is_cut(&self) -> bool {
        !self.whole && !self.gives_way
    }

    /// A column that is left out where there is no room, in this round.
    pub(crate) const fn left_out(mut self, round: u8) -> Column {
        self.left_out = round;
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

/// The widths of all columns: what they need, or less where the terminal is too narrow; 0 for a column left out.
fn widths(columns: &[Column], rows: &[Vec<Cell>], terminal: Option<usize>) -> Vec<usize> {
    let needs = |(index, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| text::width(&cell.text));
        cells.chain([text::width(column.title)]).max().unwrap_or(0).max(1)
    };
    let needed: Vec<usize> = columns.iter().enumerate().map(needs).collect();
    let Some(terminal) = terminal else { return needed };
    let mut widths = needed.clone();
    narrow(&mut widths, terminal, |index| columns[index].gives_way.then_some(GIVING_WAY[0]));
    let rounds = columns.iter().map(|column| column.left_out).max().unwrap_or(0);
    for round in 1..=rounds {
        if excess(&widths, terminal) > 0 {
            let leaves = |column: &Column| column.left_out == round;
            widths.iter_mut().zip(columns).filter(|(_, column)| leaves(column)).for_each(|(width, _)| *width = 0);
        }
        narrow(&mut widths, terminal, |index| columns[index].gives_way.then_some(GIVING_WAY[1]));
        narrow(&mut widths, terminal, |index| columns[index].is_cut().then_some(TEXT_KEPT));
    }
    // What was made narrow in vain, since a column was left out after it, gets its room back.
    widths.iter_mut().zip(&needed).filter(|(width, _)| **width > 0).for_each(|(width, needed)| *width = *needed);
    narrow(&mut widths, terminal, |index| columns[index].gives_way.then_some(GIVING_WAY[0]));
    narrow(&mut widths, terminal, |index| columns[index].gives_way.then_some(GIVING_WAY[1]));
    narrow(&mut widths, terminal, |index| columns[index].is_cut().then_some(TEXT_KEPT));
    widths
}

/// How many columns of the terminal a row takes beyond those that there are.
fn excess(widths: &[usize], terminal: usize) -> usize {
    let shown = widths.iter().filter(|width| **width > 0).count();
    (widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1)).saturating_sub(terminal)
}

/// Narrows the widest of those columns that may be narrowed, each down to what it keeps, until a row fits.
fn narrow(widths: &mut [usize], terminal: usize, keeps: impl Fn(usize) -> Option<usize>) {
    for _ in 0..excess(widths, terminal) {
        let may = |(index, width): &(usize, &mut usize)| keeps(*index).is_some_and(|kept| **width > kept);
        match widths.iter_mut().enumerate().filter(may).max_by_key(|(_, width)| **width) {
            Some((_, widest)) => *widest -= 1,
            None => return,
        }
    }
}

fn print(out: &mut Out, columns: &[Column], widths: &[usize], cells: &[Cell]) -> Done {
    let mut line = String::new();
    let mut owed = 0;
    let mut room = out.width.unwrap_or(usize::MAX);
    let mut is_first = true;
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells).filter(|((_, width), _)| **width > 0) {
        if !std::mem::take(&mut is_first) {
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

    const COLUMNS: [Column; 4] = [
        Column::number("position"),
        Column::text("subject"),
        Column::text("time").whole().left_out(1),
        Column::text("data").giving_way().left_out(2),
    ];

    #[test]
    fn columns_take_what_they_need_where_nothing_has_to_fit() {
        let rows = [row(&["1", "note/n-1", "2020-01-01", &"x".repeat(300)])];
        assert_eq!(widths(&COLUMNS, &rows, None), [8, 8, 10, 300]);
    }

    #[test]
    fn a_row_fits_and_no_number_nor_time_is_cut() {
        let rows = [row(&["1", &"s".repeat(40), "2020-01-01", &"x".repeat(300)])];
        // The preview gives way first, then the time is left out, then texts are cut, then the preview goes.
        assert_eq!(widths(&COLUMNS, &rows, Some(100)), [8, 40, 10, 36]);
        assert_eq!(widths(&COLUMNS, &rows, Some(88)), [8, 40, 10, 24]);
        assert_eq!(widths(&COLUMNS, &rows, Some(80)), [8, 40, 0, 28]);
        assert_eq!(widths(&COLUMNS, &rows, Some(60)), [8, 38, 0, 10]);
        assert_eq!(widths(&COLUMNS, &rows, Some(29)), [8, 19, 0, 0]);
        // Narrower than any row can be: the line itself is cut when it is printed.
        assert_eq!(widths(&COLUMNS, &rows, Some(10)), [8, 8, 0, 0]);
        for terminal in 18..400 {
            assert_eq!(excess(&widths(&COLUMNS, &rows, Some(terminal)), terminal), 0, "{terminal}");
        }
    }
}
