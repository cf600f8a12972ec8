//! A line chart with logarithmic axes as SVG, readable on light and on dark ground.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
/// Room for the names of the lines, which stand where they end.
const RIGHT: f64 = 230.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Between two names, at least.
const NAME_HEIGHT: f64 = 15.0;
/// For light ground and for dark.
const COLOURS: [(&str, &str); 9] = [
    ("#0969da", "#58a6ff"),
    ("#bc4c00", "#f0883e"),
    ("#1a7f37", "#3fb950"),
    ("#8250df", "#bc8cff"),
    ("#bf3989", "#f778ba"),
    ("#57606a", "#8b949e"),
    ("#9a6700", "#d29922"),
    ("#cf222e", "#ff7b72"),
    ("#0a7ea4", "#39c5cf"),
];

/// One line: a name, and a value at each place of the axis; all above zero.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Where a value stands between the ends of an axis.
struct Scale {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Scale {
        let least = values.clone().fold(f64::MAX, f64::min).log10().floor();
        let most = values.fold(0.0, f64::max).log10().ceil();
        Scale { least, most: most.max(least + 1.0), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.least) / (self.most - self.least) * (self.to - self.from)
    }

    /// The powers of ten.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.least as i32..=self.most as i32).map(|power| 10f64.powi(power))
    }
}

pub(crate) fn lines(title: &str, across: &str, up: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let x = Scale::new(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let y = Scale::new(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let mut svg = String::new();
    let rules = |dark: bool| {
        let colours = COLOURS.iter().enumerate();
        colours.fold(String::new(), |mut rules, (at, (light, night))| {
            let colour = if dark { night } else { light };
            let _ = writeln!(rules, ".l{at} {{ stroke: {colour} }}\n.n{at} {{ fill: {colour} }}");
            rules
        })
    };
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">
<title>{title}</title>
<style>
text {{ font: 12px system-ui, sans-serif; fill: #24292f }}
.title {{ font-size: 14px; font-weight: 600 }}
.ground {{ fill: #ffffff }}
.grid {{ stroke: #d0d7de }}
polyline {{ fill: none; stroke-width: 2 }}
{}@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }}
.ground {{ fill: #0d1117 }}
.grid {{ stroke: #30363d }}
{}}}
</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>
<text class="title" x="12" y="20">{title}, {up}</text>
"#,
        rules(false),
        rules(true)
    );
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{at:.1}" y2="{at:.1}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            spelled(tick)
        );
    }
    for tick in x.ticks() {
        let at = x.at(tick);
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{}"/><text x="{at:.1}" y="{}" text-anchor="middle">{}</text>"#,
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            spelled(tick)
        );
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    let _ = writeln!(svg, r#"<text x="{middle}" y="{}" text-anchor="middle">{across}</text>"#, HEIGHT - 12.0);
    let mut names: Vec<(f64, usize)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let points: Vec<String> =
            line.points.iter().map(|point| format!("{:.1},{:.1}", x.at(point.0), y.at(point.1))).collect();
        let _ = writeln!(svg, r#"<polyline class="l{}" points="{}"/>"#, at % COLOURS.len(), points.join(" "));
        names.extend(line.points.last().map(|point| (y.at(point.1), at)));
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP;
    for (height, at) in names {
        let height = height.max(free);
        free = height + NAME_HEIGHT;
        let (x, y, name) = (WIDTH - RIGHT + 8.0, height + 4.0, &lines[at].name);
        let _ = writeln!(svg, r#"<text class="n{}" x="{x}" y="{y:.1}">{name}</text>"#, at % COLOURS.len());
    }
    svg.push_str("</svg>\n");
    svg
}

fn spelled(tick: f64) -> String {
    if tick < 1.0 { tick.to_string() } else { super::table::grouped(tick) }
}
