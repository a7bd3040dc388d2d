//! Maps of places: a coastline with boxes and points, as SVG.

use std::fmt::Write as _;

use super::assets::PATHS;
use crate::xml::escaped;

/// Units of the map for one degree, as in `land.svg`.
const SCALE: f64 = 5.0;
/// The size of the whole world in units.
const WORLD: (f64, f64) = (1800.0, 900.0);
/// The smallest part of the world that a map shows, in degrees of longitude: less shows no coast that one recognises.
const SMALLEST_VIEW: f64 = 50.0;
/// The most boxes of one map.
const MOST_BOXES: usize = 500;
/// A box smaller than this share of the map's width is drawn as a point.
const POINT_SHARE: f64 = 0.012;

/// Returns a map of the part of the world around these boxes: west, south, east, north.
pub(super) fn around(base_url: &str, boxes: &[[f64; 4]], label: &str) -> Option<String> {
    let first = boxes.first()?;
    let crosses = |[west, _, east, _]: &[f64; 4]| west > east;
    let view = if boxes.iter().any(crosses) {
        [0.0, 0.0, WORLD.0, WORLD.1]
    } else {
        let all = boxes.iter().fold(*first, |[west, south, east, north], other| {
            [west.min(other[0]), south.min(other[1]), east.max(other[2]), north.max(other[3])]
        });
        view(all)
    };
    Some(drawn(base_url, boxes, view, label, "map"))
}

/// Returns a map of the whole world.
pub(super) fn world(base_url: &str, boxes: &[[f64; 4]], label: &str, class: &str) -> String {
    drawn(base_url, boxes, [0.0, 0.0, WORLD.0, WORLD.1], label, class)
}

/// Returns the part of the map to show: x, y, width, height. It is twice as wide as high.
fn view([west, south, east, north]: [f64; 4]) -> [f64; 4] {
    let width = ((east - west) * 1.8).max((north - south) * 3.6).clamp(SMALLEST_VIEW, 360.0) * SCALE;
    let height = width / 2.0;
    let middle = |low: f64, high: f64| f64::midpoint(low, high) * SCALE;
    let x = (middle(west, east) + WORLD.0 / 2.0 - width / 2.0).clamp(0.0, WORLD.0 - width);
    let y = (WORLD.1 / 2.0 - middle(south, north) - height / 2.0).clamp(0.0, WORLD.1 - height);
    [x, y, width, height]
}

fn drawn(
    base_url: &str,
    boxes: &[[f64; 4]],
    [x, y, width, height]: [f64; 4],
    label: &str,
    class: &str,
) -> String {
    let land = format!("{base_url}{}", PATHS.land);
    let mut svg = format!(
        "<svg class=\"{class}\" viewBox=\"{x:.1} {y:.1} {width:.1} {height:.1}\" role=\"img\" aria-label=\"{}\">\
         <rect class=\"sea\" width=\"1800\" height=\"900\"/><image href=\"{}\" width=\"1800\" height=\"900\"/>",
        escaped(label),
        escaped(&land)
    );
    if class == "map" {
        svg += "<path class=\"grid\" d=\"";
        let step = if width > 900.0 { 30 } else { 10 };
        for degrees in (0..=360).step_by(step) {
            let _ = write!(svg, "M{} 0v900", degrees * 5);
        }
        for degrees in (0..=180).step_by(step) {
            let _ = write!(svg, "M0 {}h1800", degrees * 5);
        }
        svg += "\"/>";
    }
    for [west, south, east, north] in boxes.iter().take(MOST_BOXES) {
        let parts: &[(f64, f64)] =
            if west <= east { &[(*west, *east)] } else { &[(*west, 180.0), (-180.0, *east)] };
        for (from, to) in parts {
            let (left, top) = ((from + 180.0) * SCALE, (90.0 - north) * SCALE);
            let (wide, high) = ((to - from) * SCALE, (north - south) * SCALE);
            if wide.max(high) < width * POINT_SHARE {
                let (x, y, r) = (left + wide / 2.0, top + high / 2.0, width * POINT_SHARE);
                let _ = write!(svg, "<circle class=\"place\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\"/>");
            } else {
                let _ = write!(
                    svg,
                    "<rect class=\"place\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\"/>"
                );
            }
        }
    }
    svg + "</svg>"
}

/// Returns a box in words: `71.3° N, 156.8° W to 71.4° N, 156.6° W`.
pub(super) fn in_words([west, south, east, north]: &[f64; 4]) -> String {
    let point = |latitude: f64, longitude: f64| {
        let side = |value: f64, positive, negative| if value < 0.0 { negative } else { positive };
        format!(
            "{}° {}, {}° {}",
            rounded(latitude.abs()),
            side(latitude, "N", "S"),
            rounded(longitude.abs()),
            side(longitude, "E", "W")
        )
    };
    match south.total_cmp(north).is_eq() && west.total_cmp(east).is_eq() {
        true => point(*south, *west),
        false => format!("{} to {}", point(*south, *west), point(*north, *east)),
    }
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{around, in_words, view};

    #[test]
    fn a_view_stays_in_the_world_and_is_twice_as_wide_as_high() {
        for place in [[-180.0, -90.0, 180.0, 90.0], [179.0, 89.0, 180.0, 90.0], [-70.0, 40.0, -70.0, 40.0]] {
            let [x, y, width, height] = view(place);
            assert!(x >= 0.0 && y >= 0.0 && x + width <= 1800.1 && y + height <= 900.1, "{place:?}");
            assert!((width - 2.0 * height).abs() < 0.01);
        }
    }

    #[test]
    fn a_box_across_the_antimeridian_is_two() {
        let map = around("", &[[170.0, -10.0, -170.0, 10.0]], "a \"place\" <b>").unwrap();
        assert_eq!(map.matches("class=\"place\"").count(), 2);
        assert!(map.contains("aria-label=\"a &quot;place&quot; &lt;b&gt;\""));
        assert_eq!(around("", &[], ""), None);
    }

    #[test]
    fn boxes_in_words() {
        assert_eq!(in_words(&[-70.88, 40.0, -70.88, 40.0]), "40° N, 70.88° W");
        assert_eq!(in_words(&[-1.0, -2.5, 3.0, 4.0]), "2.5° S, 1° W to 4° N, 3° E");
    }
}
