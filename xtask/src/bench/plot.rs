//! Draws the ratios beside their targets, as an image that stands in the document.

use std::fs;

use super::report::{self, Outcome};
use crate::console;
use crate::error::{Result, at};
use crate::workspace;

/// The image.
const IMAGE: &str = "docs/benchmarks.svg";

const WIDTH: u32 = 860;
const LINE: u32 = 24;
const TOP: u32 = 56;
/// Where bars begin, and how long the bar of a row is that just meets its target.
const LEFT: u32 = 400;
const TARGET: f64 = 200.0;
/// Longer bars are cut, so that one row does not hide all others.
const LONGEST: f64 = 1.4;

/// Writes the image.
pub(super) fn write(outcomes: &[Outcome]) -> Result<()> {
    let path = workspace::root().join(IMAGE);
    fs::write(&path, image(outcomes)).map_err(at(&path))?;
    console::note(format_args!("wrote {IMAGE}"));
    Ok(())
}

fn image(outcomes: &[Outcome]) -> String {
    let measured: Vec<_> = outcomes.iter().filter_map(|outcome| Some((outcome, outcome.ratio()?))).collect();
    let height = measured.iter().fold(TOP + 16, |height, _| height + LINE);
    let end = f64::from(LEFT) + TARGET;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Ratio of d1oci to its peer, as a part of what is wanted at most</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-weight=\"bold\">d1oci : peer, shorter is better</text>\n\
         <text x=\"{end}\" y=\"44\" text-anchor=\"middle\" fill=\"#555555\">wanted at most</text>\n"
    );
    let tops = (TOP..).step_by(LINE as usize);
    text.extend(measured.iter().zip(tops).map(|((outcome, ratio), top)| bar(outcome, *ratio, top)));
    text.push_str(&format!(
        "<line x1=\"{end}\" y1=\"50\" x2=\"{end}\" y2=\"{}\" stroke=\"#333333\" stroke-dasharray=\"4 3\"/>\n</svg>\n",
        height - 8
    ));
    text
}

fn bar(outcome: &Outcome, ratio: f64, top: u32) -> String {
    let limit = report::limit(outcome.row);
    let length = (ratio / limit).min(LONGEST) * TARGET;
    let color = if outcome.is_met() { "#4c9a6a" } else { "#c8553d" };
    let (work, peer) = (outcome.row.work, outcome.row.peer.name);
    let (middle, label) = (top + 14, f64::from(LEFT) + length.max(TARGET) + 8.0);
    format!(
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{work}</text>\n\
         <rect x=\"{LEFT}\" y=\"{top}\" width=\"{length:.0}\" height=\"18\" fill=\"{color}\"/>\n\
         <text x=\"{label:.0}\" y=\"{middle}\">{ratio:.2} of {peer} (≤ {limit})</text>\n",
        LEFT - 10
    )
}

#[cfg(test)]
mod tests {
    use super::image;
    use crate::bench::measure::Measurement;
    use crate::bench::report::Outcome;
    use crate::bench::rows::ROWS;

    #[test]
    fn every_measured_row_has_a_bar() {
        let row = |id: &str| ROWS.iter().find(|row| row.id == id).unwrap();
        let side = |wall| Measurement { wall, ..Measurement::default() };
        let text = image(&[
            Outcome::new(row("pull-archive"), Ok((side(1.0), side(4.0)))),
            Outcome::new(row("pull-small"), Ok((side(9.0), side(3.0)))),
            Outcome::skipped(row("push-archive"), "oras"),
        ]);
        assert!(
            text.contains("width=\"100\" height=\"18\" fill=\"#4c9a6a\"")
                && text.contains("0.25 of oras (≤ 0.5)")
        );
        assert!(
            text.contains("width=\"280\" height=\"18\" fill=\"#c8553d\"")
                && text.contains("3.00 of oras (≤ 0.3)")
        );
        assert_eq!(text.matches("height=\"18\"").count(), 2);
    }
}
