//! The outline of a scientific file: grids of texts from its header.

use crate::web::page::count;

/// The most rows of one grid.
const MOST_ROWS: usize = 300;
/// The longest text of a cell, in characters.
const LONGEST_CELL: usize = 200;
/// The most bytes of text in one grid, so that a page stays small.
const MOST_TEXT: usize = 24 << 10;

/// The outline of a file.
pub(in crate::web) struct Outline {
    pub(in crate::web) title: &'static str,
    pub(in crate::web) note: String,
    pub(in crate::web) grids: Vec<Grid>,
}

/// A table of an outline.
pub(in crate::web) struct Grid {
    pub(in crate::web) caption: String,
    pub(in crate::web) head: &'static [&'static str],
    pub(in crate::web) rows: Vec<Vec<String>>,
}

impl Grid {
    /// Returns a grid of the first rows. Its caption says how many there are if the grid has not all.
    pub(super) fn of(
        caption: &str,
        head: &'static [&'static str],
        rows: impl ExactSizeIterator<Item = Vec<String>>,
    ) -> Self {
        let (total, mut text, mut kept) = (rows.len(), 0, Vec::new());
        for row in rows.take(MOST_ROWS) {
            text += row.iter().map(String::len).sum::<usize>();
            if text > MOST_TEXT {
                break;
            }
            kept.push(row);
        }
        let caption = match total > kept.len() {
            true => format!("{caption}: the first {} of {}", kept.len(), count(total as u64)),
            false => caption.to_owned(),
        };
        Self { caption, head, rows: kept }
    }
}

/// Returns a text of a file as a cell shows it: without control characters, and not too long.
pub(super) fn shown(text: &str) -> String {
    let visible = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(LONGEST_CELL).map(visible).collect();
    if text.chars().nth(LONGEST_CELL).is_some() {
        shown.push('…');
    }
    shown
}
