//! What is live, what was refused, what waits.
use crate::{Inert, Shell};
use askama::Template;
use doorward_model::Timestamp;

/// A refused request.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When.
    pub time: Timestamp,
    /// Its session.
    pub session: Option<String>,
    /// Whose, where it is known.
    pub principal: Inert,
    /// What was asked.
    pub statement: Inert,
    /// Why not.
    pub why: Inert,
}

/// A count per hour, oldest first, as bars.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What is counted.
    pub title: &'static str,
    /// Its style.
    pub class: &'static str,
    /// The counts.
    pub counts: Vec<u64>,
}

/// A bar, in the chart's own units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// From the left.
    pub(crate) x: usize,
    /// From the top.
    pub(crate) y: u64,
    /// How high.
    pub(crate) height: u64,
    /// What it stands for.
    pub(crate) count: u64,
    /// How many hours ago.
    pub(crate) ago: usize,
}

/// The height of charts.
const HEIGHT: u64 = 40;

impl Chart {
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn width(&self) -> usize {
        self.counts.len() * 8
    }

    /// What is not nothing can be seen.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let most = self.counts.iter().max().copied().unwrap_or(0).max(1);
        let bar = |(i, count): (usize, &u64)| {
            let height = if *count == 0 { 0 } else { (count * HEIGHT / most).max(2) };
            let ago = self.counts.len() - 1 - i;
            Bar { x: i * 8, y: HEIGHT - height, height, count: *count, ago }
        };
        self.counts.iter().enumerate().map(bar).collect()
    }
}

/// The first page.
#[derive(Debug, Template)]
#[template(path = "overview.html")]
pub struct Overview {
    /// The frame.
    pub shell: Shell,
    /// Sessions that are open; none: the person may not see them.
    pub live: Option<usize>,
    /// Charts of the last day.
    pub charts: Vec<Chart>,
    /// What was refused last.
    pub refused: Vec<Refused>,
    /// Whether the log was too long to be read to the beginning of the day.
    pub cut: bool,
}

impl Overview {
    /// Whether there is nothing of the last day to be shown, to who would see it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.live.is_none_or(|n| n == 0) && !self.charts.is_empty() && self.charts.iter().all(|c| c.total() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_they_count() {
        let chart = Chart { title: "x", class: "y", counts: vec![0, 1, 100] };
        let heights: Vec<u64> = chart.bars().iter().map(|b| b.height).collect();
        assert_eq!((heights, chart.total(), chart.width()), (vec![0, 2, 40], 101, 24));
        assert!(Chart { counts: vec![0, 0], ..chart }.bars().iter().all(|b| b.height == 0 && b.y == 40));
    }
}
