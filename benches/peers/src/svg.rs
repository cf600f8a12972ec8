//! A horizontal bar chart as SVG: enough of it for the figures, readable on light and on dark ground.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 150.0;
/// Room behind the longest bar for what is written there.
const VALUES: f64 = 160.0;
const BAR: f64 = 16.0;
const ROW: f64 = 22.0;
const HEAD: f64 = 30.0;
/// Between two groups, with the name of the second in it.
const GROUP: f64 = 26.0;

/// A bar: a peer, its value, what is written behind it.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) label: String,
    pub(crate) ours: bool,
}

/// Bars that share a scale.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

pub(crate) fn bars(title: &str, unit: &str, groups: &[Group]) -> String {
    let rows: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = HEAD + groups.len() as f64 * GROUP + rows as f64 * ROW + 10.0;
    let mut svg = String::new();
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>{}</title>
<style>
text {{ font: 12px system-ui, sans-serif; fill: #24292f }}
.title {{ font-size: 14px; font-weight: 600 }}
.group {{ font-weight: 600 }}
.ground {{ fill: #ffffff }}
.bar {{ fill: #8c959f }}
.ours {{ fill: #0969da }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }}
.ground {{ fill: #0d1117 }}
.bar {{ fill: #6e7681 }}
.ours {{ fill: #58a6ff }}
}}
</style>
<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>
<text class="title" x="12" y="20">{}, {}</text>
"#,
        escape(title),
        escape(title),
        escape(unit)
    );
    let mut y = HEAD;
    for group in groups {
        let _ = writeln!(svg, r#"<text class="group" x="12" y="{}">{}</text>"#, y + 17.0, escape(&group.name));
        y += GROUP;
        let most = group.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        for bar in &group.bars {
            let share = if most > 0.0 { bar.value / most } else { 0.0 };
            // A bar of no width would look like one that is missing.
            let width = (share * (WIDTH - LABELS - VALUES)).max(1.5);
            let middle = y + BAR / 2.0 + 4.0;
            let class = if bar.ours { "ours" } else { "bar" };
            let _ = writeln!(
                svg,
                r#"<text x="{}" y="{middle}" text-anchor="end">{}</text><rect class="{class}" x="{LABELS}" y="{y}" width="{width:.1}" height="{BAR}" rx="2"/><text x="{:.1}" y="{middle}">{}</text>"#,
                LABELS - 8.0,
                escape(&bar.name),
                LABELS + width + 6.0,
                escape(&bar.label)
            );
            y += ROW;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out() {
        let bars = vec![Bar { name: "<a>".to_owned(), value: 1.0, label: "\"b\" & c".to_owned(), ours: true }];
        let svg = super::bars("t", "u", &[Group { name: "g".to_owned(), bars }]);
        assert!(svg.contains("&lt;a&gt;") && svg.contains("&quot;b&quot; &amp; c") && !svg.contains("<a>"));
        assert!(svg.ends_with("</svg>\n"));
    }
}
