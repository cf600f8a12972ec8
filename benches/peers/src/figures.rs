//! What was measured: a figure for each peer and case, and its form as JSON lines.

use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// One cell: what one peer did in one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) work: String,
    pub(crate) case: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    pub(crate) peer: String,
    /// One value for each round; empty where the peer has no figure.
    pub(crate) rounds: Vec<f64>,
    /// A verdict in words, in the place of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<String>,
    /// Why there is a dash, or what there is to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Figure {
    pub(crate) fn median(&self) -> Option<f64> {
        median(&self.rounds)
    }

    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let low = self.rounds.iter().copied().reduce(f64::min)?;
        let high = self.rounds.iter().copied().reduce(f64::max)?;
        Some((low, high))
    }
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle - 1)? + sorted.get(middle)?) / 2.0),
    }
}

/// The value below which this share of the sorted values lies.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0) as f64
}

/// Where and how it was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) rustc: String,
    pub(crate) load: String,
    pub(crate) command: String,
    pub(crate) events: u64,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// What this run did not measure, and why.
    pub(crate) absent: Vec<String>,
}

/// A peer, as it took part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) written: Option<String>,
    pub(crate) durable: Option<String>,
    pub(crate) checks: String,
    pub(crate) layout: String,
    pub(crate) indexed: bool,
}

/// One line of the JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(crate) enum Line {
    Run(Machine),
    Peer(Part),
    Figure(Figure),
}

/// All of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) peers: Vec<Part>,
    pub(crate) figures: Vec<Figure>,
}

impl Results {
    pub(crate) fn lines(&self) -> Vec<Line> {
        let peers = self.peers.iter().cloned().map(Line::Peer);
        let figures = self.figures.iter().cloned().map(Line::Figure);
        std::iter::once(Line::Run(self.machine.clone())).chain(peers).chain(figures).collect()
    }

    pub(crate) fn to_json(&self) -> Result<String, String> {
        let mut text = String::new();
        for line in self.lines() {
            text.push_str(&serde_json::to_string(&line).map_err(|error| error.to_string())?);
            text.push('\n');
        }
        Ok(text)
    }

    pub(crate) fn from_json(text: &str) -> Result<Results, String> {
        let mut results = Results::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let parsed = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
            match parsed {
                Line::Run(machine) => results.machine = machine,
                Line::Peer(part) => results.peers.push(part),
                Line::Figure(figure) => results.figures.push(figure),
            }
        }
        Ok(results)
    }

    /// Works in the order in which they were done.
    pub(crate) fn works(&self) -> Vec<&str> {
        in_order(self.figures.iter().map(|figure| figure.work.as_str()))
    }

    /// Cases of a work, in order.
    pub(crate) fn cases(&self, work: &str) -> Vec<&str> {
        in_order(self.figures.iter().filter(|figure| figure.work == work).map(|figure| figure.case.as_str()))
    }

    pub(crate) fn row<'a>(&'a self, work: &str, case: &str) -> Vec<&'a Figure> {
        self.figures.iter().filter(|figure| figure.work == work && figure.case == case).collect()
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The floor: it shows what a peer could reach at most, and is none.
pub(crate) const FLOOR: &str = "bare loop";

/// The peer with the best figure of a row; none where fewer than two have a number.
pub(crate) fn best<'a>(row: &[&'a Figure]) -> Option<&'a Figure> {
    let numbers = row.iter().filter(|figure| figure.median().is_some() && figure.peer != FLOOR);
    if numbers.clone().count() < 2 {
        return None;
    }
    numbers.copied().min_by(|one, other| {
        let (one, other) = (one.median().unwrap_or(0.0), other.median().unwrap_or(0.0));
        match row.first().map(|figure| figure.better) {
            Some(Better::Higher) => other.total_cmp(&one),
            _ => one.total_cmp(&other),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let sorted: Vec<u64> = (1..=1000).collect();
        assert_eq!(quantile(&sorted, 0.5), 501.0);
        assert_eq!(quantile(&sorted, 1.0), 1000.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn lines_come_back() {
        let figure = Figure {
            work: "append".to_owned(),
            case: "batch 1".to_owned(),
            unit: "events/s".to_owned(),
            better: Better::Higher,
            peer: "annals".to_owned(),
            rounds: vec![1.0, 2.5],
            verdict: None,
            note: Some("why".to_owned()),
        };
        let results = Results { figures: vec![figure], ..Results::default() };
        let back = Results::from_json(&results.to_json().unwrap()).unwrap();
        assert_eq!(back.to_json().unwrap(), results.to_json().unwrap());
        assert!(Results::from_json("{").is_err());
    }
}
