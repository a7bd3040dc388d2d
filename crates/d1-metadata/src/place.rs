//! Boxes from the many ways in which documents write coordinates.

use crate::content::BoundingBox;

/// Returns a box of these texts: west, south, east, north. Swapped latitudes are put in order, longitudes from 180 to 360 become
/// negative.
pub(crate) fn bounding_box(corners: [Option<String>; 4], description: Option<String>) -> Option<BoundingBox> {
    let mut numbers = [0.0; 4];
    for (number, text) in numbers.iter_mut().zip(corners) {
        *number = coordinate(&text?)?;
    }
    let [west, south, east, north] = numbers;
    of_numbers(west, south, east, north, description)
}

/// Returns the box of these numbers, if they are coordinates.
pub(crate) fn of_numbers(
    west: f64,
    south: f64,
    east: f64,
    north: f64,
    description: Option<String>,
) -> Option<BoundingBox> {
    let (south, north) = if south > north { (north, south) } else { (south, north) };
    let are_latitudes = south >= -90.0 && north <= 90.0;
    let are_longitudes = [west, east].iter().all(|longitude| (-180.0..=360.0).contains(longitude));
    if !are_latitudes || !are_longitudes {
        return None;
    }
    // A box from 0 to 360 is the whole circle, not a line.
    let (west, east) = if east - west >= 360.0 { (-180.0, 180.0) } else { (turned(west), turned(east)) };
    Some(BoundingBox { west, south, east, north, description })
}

/// Returns the box around points of longitude and latitude.
pub(crate) fn around(points: &[(f64, f64)], description: Option<String>) -> Option<BoundingBox> {
    let (first, rest) = points.split_first()?;
    let start = (first.0, first.1, first.0, first.1);
    let (west, south, east, north) = rest.iter().fold(start, |(west, south, east, north), (x, y)| {
        (west.min(*x), south.min(*y), east.max(*x), north.max(*y))
    });
    of_numbers(west, south, east, north, description)
}

/// Reads a number, with a comma or a point, and perhaps a degree sign.
pub(crate) fn coordinate(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches('°').replace(',', ".");
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn turned(longitude: f64) -> f64 {
    if longitude > 180.0 { longitude - 360.0 } else { longitude }
}

#[cfg(test)]
mod tests {
    use super::{around, bounding_box};

    #[test]
    fn boxes_are_brought_into_one_form() {
        let of = |corners: [&str; 4]| {
            let found = bounding_box(corners.map(|text| Some(text.to_owned())), None)?;
            Some((found.west, found.south, found.east, found.north))
        };
        assert_eq!(of(["-10", "50", "10,5", "60°"]), Some((-10.0, 50.0, 10.5, 60.0)));
        assert_eq!(of(["-10", "60", "10", "50"]), Some((-10.0, 50.0, 10.0, 60.0)));
        assert_eq!(of(["170", "-5", "190", "5"]), Some((170.0, -5.0, -170.0, 5.0)));
        assert_eq!(of(["0", "-90", "360", "90"]), Some((-180.0, -90.0, 180.0, 90.0)));
        assert_eq!(of(["0", "-91", "1", "90"]), None);
        assert_eq!(of(["NaN", "0", "1", "2"]), None);
        assert_eq!(around(&[], None), None);
    }
}
