//! Plots as SVG: a line over time or numbers, a distribution, counts of texts. Colours are attributes that a style sheet may
//! replace, so a plot is readable by itself too.

use std::fmt::Write as _;

use super::bins::{Extremes, counted};
use super::moment;
use super::scan::{Column, Kind, MOST_POINTS, Plot};
use crate::xml::escaped;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 48.0;
/// How many bins a plot of many points and a distribution have.
const LINE_BINS: usize = 360;
const BARS: usize = 28;
/// How many texts a plot of counts shows.
const MOST_TEXTS: usize = 12;

/// One axis: the range that it shows, and its labelled places.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Returns an axis of numbers. Its ends are round.
    fn numbers(low: f64, high: f64) -> Self {
        let (low, high) = if high > low { (low, high) } else { widened(low) };
        let step = round_step((high - low) / 5.0);
        if !step.is_normal() {
            return Self { low, high, ticks: Vec::new() };
        }
        let (first, last) = ((low / step).floor() * step, (high / step).ceil() * step);
        let places = (0..12_u8).map(|number| first + f64::from(number) * step);
        let ticks =
            places.take_while(|place| *place <= last + step / 2.0).map(|place| (place, label(place, step)));
        Self { low: first, high: last, ticks: ticks.collect() }
    }

    /// Returns an axis of times, in seconds since 1970. Its places are round dates.
    fn times(low: f64, high: f64) -> Self {
        let (low, high) = if high > low { (low, high) } else { (low - 43_200.0, high + 43_200.0) };
        Self { low, high, ticks: time_ticks(low, high) }
    }

    fn of(kind: Kind, low: f64, high: f64) -> Self {
        if kind == Kind::Time { Self::times(low, high) } else { Self::numbers(low, high) }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.share(value) * (HEIGHT - TOP - BOTTOM)
    }
}

fn widened(value: f64) -> (f64, f64) {
    let by = if value == 0.0 { 1.0 } else { value.abs() * 0.1 };
    (value - by, value + by)
}

/// Returns the least of 1, 2 and 5 times a power of ten that is not below a width.
fn round_step(width: f64) -> f64 {
    let power = 10.0_f64.powf(width.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= width * 0.999);
    factor.unwrap_or(10.0) * power
}

fn label(value: f64, step: f64) -> String {
    if value.abs() < step / 1000.0 {
        return "0".to_owned();
    }
    if value.abs() >= 1e7 || step < 1e-4 {
        return format!("{value:.1e}");
    }
    let digits: usize = [1.0, 0.1, 0.01, 0.001].iter().filter(|least| step < **least * 0.999).count();
    format!("{value:.digits$}")
}

/// The steps of axes of times: seconds, and the format of labels.
const STEPS: [(f64, &str); 14] = [
    (1.0, "%H:%M:%S"),
    (10.0, "%H:%M:%S"),
    (60.0, "%H:%M"),
    (600.0, "%H:%M"),
    (3600.0, "%d %b %H:%M"),
    (6.0 * 3600.0, "%d %b %H:%M"),
    (86_400.0, "%d %b %Y"),
    (2.0 * 86_400.0, "%d %b %Y"),
    (7.0 * 86_400.0, "%d %b %Y"),
    (14.0 * 86_400.0, "%d %b %Y"),
    (MONTH, "%b %Y"),
    (3.0 * MONTH, "%b %Y"),
    (6.0 * MONTH, "%b %Y"),
    (YEAR, "%Y"),
];
const MONTH: f64 = 30.44 * 86_400.0;
const YEAR: f64 = 365.25 * 86_400.0;

fn time_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let wanted = (high - low) / 6.0;
    let (step, format) = STEPS.into_iter().find(|(step, _)| *step >= wanted).unwrap_or((YEAR, "%Y"));
    let place = |seconds: f64| {
        let time = moment::at(seconds)?;
        Some((seconds, time.strftime(format).to_string()))
    };
    if step < MONTH {
        let first = (low / step).ceil() * step;
        let places = (0..12_u8).map(|number| first + f64::from(number) * step);
        return places.take_while(|seconds| *seconds <= high).filter_map(place).collect();
    }
    let (Some(first), Some(last)) = (moment::at(low), moment::at(high)) else { return Vec::new() };
    let months = |time: jiff::civil::DateTime| i32::from(time.year()) * 12 + i32::from(time.month()) - 1;
    let step = match step {
        step if step >= YEAR => 12 * years_between(wanted),
        step if step > 4.0 * MONTH => 6,
        step if step > 2.0 * MONTH => 3,
        _ => 1,
    };
    let begin = months(first).div_euclid(step) + 1;
    let numbers = (begin..).map(|number| number * step).take_while(|month| *month <= months(last)).take(12);
    let at = |month: i32| {
        let (year, month) =
            (i16::try_from(month.div_euclid(12)).ok()?, i8::try_from(month.rem_euclid(12) + 1).ok()?);
        let day = jiff::civil::Date::new(year, month, 1).ok()?;
        let seconds = moment::iso_seconds(&day.to_string())?;
        Some((seconds, day.strftime(format).to_string()))
    };
    numbers.filter_map(at).collect()
}

fn years_between(wanted: f64) -> i32 {
    let steps = [1_u16, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
    let found = steps.into_iter().find(|years| f64::from(*years) * YEAR >= wanted);
    i32::from(found.unwrap_or(5000))
}

/// A plot that is being drawn.
struct Drawing(String);

impl Drawing {
    fn new(title: &str, description: &str) -> Self {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" aria-label=\"{}\">",
            escaped(&format!("{title}. {description}"))
        );
        svg += "<rect class=\"plot-ground\" width=\"100%\" height=\"100%\" fill=\"#fff\"/>";
        Self(svg)
    }

    fn axes(&mut self, x: Option<&Axis>, y: &Axis, (x_label, y_label): (&str, &str)) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (place, text) in &y.ticks {
            let at = y.y(*place);
            let _ = write!(
                self.0,
                "<path class=\"plot-grid\" stroke=\"#d5dce1\" d=\"M{LEFT} {at:.1}H{right}\"/>\
                 <text class=\"plot-text\" fill=\"#55616d\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                escaped(text)
            );
        }
        for (place, text) in x.map(|x| x.ticks.as_slice()).unwrap_or_default() {
            let at = x.map_or(0.0, |x| x.x(*place));
            let _ = write!(
                self.0,
                "<path class=\"plot-grid\" stroke=\"#d5dce1\" d=\"M{at:.1} {bottom}v5\"/>\
                 <text class=\"plot-text\" fill=\"#55616d\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 19.0,
                escaped(text)
            );
        }
        let _ = write!(
            self.0,
            "<path class=\"plot-axis\" stroke=\"#76828c\" d=\"M{LEFT} {bottom}H{right}\"/>\
             <text class=\"plot-text\" fill=\"#55616d\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text class=\"plot-text\" fill=\"#55616d\" transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 8.0,
            escaped(x_label),
            f64::midpoint(TOP, bottom),
            escaped(y_label)
        );
    }

    fn finish(self) -> String {
        self.0 + "</svg>"
    }
}

/// A plot and its description in words.
pub(crate) struct Drawn {
    pub(crate) svg: String,
    pub(crate) caption: String,
}

/// Draws one column over another.
pub(crate) fn line(plot: &Plot, x: &Column, y: &Column) -> Option<Drawn> {
    let (x_low, x_high) = plot.bins.range()?;
    let bins = plot.bins.merged(LINE_BINS);
    let filled: Vec<(f64, Extremes)> = bins
        .iter()
        .filter(|(_, _, bin)| bin.count > 0)
        .map(|(begin, end, bin)| (f64::midpoint(*begin, *end).clamp(x_low, x_high), *bin))
        .collect();
    let low = filled.iter().map(|(_, bin)| bin.least).fold(f64::INFINITY, f64::min);
    let high = filled.iter().map(|(_, bin)| bin.greatest).fold(f64::NEG_INFINITY, f64::max);
    let (x_axis, y_axis) = (Axis::of(x.kind(), x_low, x_high), Axis::of(y.kind(), low, high));
    let has_all = plot.count <= MOST_POINTS as u64;
    let title = format!("{} over {}", y.name, x.name);
    let range = format!(
        "{} from {} to {}, {} from {} to {}",
        y.name,
        value_in_words(y.kind(), low),
        value_in_words(y.kind(), high),
        x.name,
        value_in_words(x.kind(), x_low),
        value_in_words(x.kind(), x_high)
    );
    let caption = match has_all {
        true => format!("All {} points. {range}.", plot.count),
        false => format!(
            "{} points in {} groups: the line is the mean of each group, the band its range. {range}.",
            plot.count,
            filled.len()
        ),
    };
    let mut drawing = Drawing::new(&title, &range);
    drawing.axes(Some(&x_axis), &y_axis, (&named(x), &named(y)));
    if has_all {
        drawing.points(plot, &x_axis, &y_axis, x.kind() == Kind::Time);
    } else {
        drawing.band(&filled, &x_axis, &y_axis);
    }
    Some(Drawn { svg: drawing.finish(), caption })
}

impl Drawing {
    fn points(&mut self, plot: &Plot, x: &Axis, y: &Axis, is_line: bool) {
        let mut points = plot.points.clone();
        if is_line {
            points.sort_by(|left, right| left.0.total_cmp(&right.0));
            let path: Vec<String> =
                points.iter().map(|(at, value)| format!("{:.1} {:.1}", x.x(*at), y.y(*value))).collect();
            let _ = write!(
                self.0,
                "<path class=\"plot-line\" fill=\"none\" stroke=\"#0b6a86\" stroke-width=\"1.5\" stroke-linejoin=\"round\" d=\"M{}\"/>",
                path.join("L")
            );
        }
        if is_line && points.len() > 80 {
            return;
        }
        self.0 += "<g class=\"plot-points\" fill=\"#0b6a86\">";
        for (at, value) in points {
            let _ = write!(self.0, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>", x.x(at), y.y(value));
        }
        self.0 += "</g>";
    }

    fn band(&mut self, bins: &[(f64, Extremes)], x: &Axis, y: &Axis) {
        let upper = bins.iter().map(|(at, bin)| format!("{:.1} {:.1}", x.x(*at), y.y(bin.greatest)));
        let lower = bins.iter().rev().map(|(at, bin)| format!("{:.1} {:.1}", x.x(*at), y.y(bin.least)));
        let outline: Vec<String> = upper.chain(lower).collect();
        let mean = |bin: &Extremes| bin.sum / counted(bin.count);
        let line: Vec<String> =
            bins.iter().map(|(at, bin)| format!("{:.1} {:.1}", x.x(*at), y.y(mean(bin)))).collect();
        let _ = write!(
            self.0,
            "<path class=\"plot-band\" fill=\"#0b6a86\" fill-opacity=\".22\" d=\"M{}z\"/>\
             <path class=\"plot-line\" fill=\"none\" stroke=\"#0b6a86\" stroke-width=\"1.5\" d=\"M{}\"/>",
            outline.join("L"),
            line.join("L")
        );
    }
}

/// Draws the values of one column: a distribution of numbers or times, or counts of texts.
pub(crate) fn distribution(column: &Column) -> Option<Drawn> {
    let kind = column.kind();
    let bins = match kind {
        Kind::Number => &column.distribution,
        Kind::Time => &column.moments,
        Kind::Text => return texts(column),
    };
    let (low, high) = bins.range()?;
    let bars = bins.merged(BARS);
    let most = bars.iter().map(|bar| bar.2).max()?;
    let total: u64 = bars.iter().map(|bar| bar.2).sum();
    let (begin, end) = (bars.first()?.0, bars.last()?.1);
    let x_axis = Axis { low: begin, high: end, ..Axis::of(kind, begin, end) };
    let x_axis = Axis {
        ticks: x_axis.ticks.into_iter().filter(|tick| begin <= tick.0 && tick.0 <= end).collect(),
        ..x_axis
    };
    let y_axis = Axis::numbers(0.0, counted(most));
    let range =
        format!("{total} values from {} to {}", value_in_words(kind, low), value_in_words(kind, high));
    let mut drawing = Drawing::new(&format!("Distribution of {}", column.name), &range);
    drawing.axes(Some(&x_axis), &y_axis, (&named(column), "values"));
    drawing.0 += "<g class=\"plot-bars\" fill=\"#0b6a86\">";
    for (begin, end, count) in bars.iter().filter(|bar| bar.2 > 0) {
        let (left, right, top) = (x_axis.x(*begin), x_axis.x(*end), y_axis.y(counted(*count)));
        let _ = write!(
            drawing.0,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} to {}: {count}</title></rect>",
            left + 0.5,
            (right - left - 1.0).max(0.5),
            HEIGHT - BOTTOM - top,
            escaped(&value_in_words(kind, *begin)),
            escaped(&value_in_words(kind, *end))
        );
    }
    drawing.0 += "</g>";
    Some(Drawn {
        svg: drawing.finish(),
        caption: format!("{range}, in {} groups of equal width.", bars.len()),
    })
}

fn texts(column: &Column) -> Option<Drawn> {
    let mut counts: Vec<(&String, &u64)> = column.texts.iter().collect();
    counts.sort_by(|left, right| right.1.cmp(left.1));
    let most = counted(**counts.first().map(|(_, count)| count)?);
    let shown = counts.iter().take(MOST_TEXTS);
    let caption = format!("{} different texts; the most frequent ones.", counts.len());
    let mut drawing = Drawing::new(&format!("Values of {}", column.name), &caption);
    let row = ((HEIGHT - 2.0 * TOP) / counted(counts.len().min(MOST_TEXTS) as u64)).min(34.0);
    for ((text, count), place) in shown.zip(0_u8..) {
        let y = TOP + f64::from(place) * row;
        let width = counted(**count) / most * (WIDTH - 300.0);
        let _ = write!(
            drawing.0,
            "<rect class=\"plot-bars\" fill=\"#0b6a86\" x=\"200\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/>\
             <text class=\"plot-text\" fill=\"#55616d\" x=\"192\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"plot-text\" fill=\"#55616d\" x=\"{:.1}\" y=\"{:.1}\">{count}</text>",
            y + row * 0.15,
            row * 0.7,
            y + row / 2.0 + 4.0,
            escaped(&crate::web::page::cut(text, 26)),
            208.0 + width,
            y + row / 2.0 + 4.0
        );
    }
    Some(Drawn { svg: drawing.finish(), caption })
}

/// Returns the name of a column with its unit.
fn named(column: &Column) -> String {
    let unit = column.attribute.as_ref().and_then(|attribute| attribute.unit.as_deref());
    match unit.filter(|unit| *unit != "dimensionless") {
        Some(unit) => format!("{} ({unit})", column.name),
        None => column.name.clone(),
    }
}

/// Returns a number or a time for people.
pub(crate) fn value_in_words(kind: Kind, value: f64) -> String {
    if kind == Kind::Time {
        return moment::in_words(value);
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Column, Kind, Plot};
    use super::{Axis, line, time_ticks, value_in_words};
    use crate::web::table::bins::Extremes;

    #[test]
    fn axes_have_round_places() {
        let labels = |axis: Axis| axis.ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>();
        assert_eq!(
            labels(Axis::numbers(0.13, 0.97)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(|text| if text == "0.0" { "0" } else { text })
        );
        assert_eq!(labels(Axis::numbers(-3.0, 12.0)), ["-5", "0", "5", "10", "15"]);
        assert!(!labels(Axis::numbers(7.0, 7.0)).is_empty());
        assert!(labels(Axis::numbers(f64::MIN, f64::MAX)).len() < 13);
        let year = time_ticks(1_704_067_200.0, 1_735_689_600.0);
        assert_eq!(
            year.iter().map(|tick| tick.1.as_str()).collect::<Vec<_>>(),
            ["Apr 2024", "Jul 2024", "Oct 2024", "Jan 2025"]
        );
        assert!(time_ticks(0.0, 3e9).len() <= 12 && time_ticks(-1e18, 1e18).is_empty());
    }

    #[test]
    fn names_from_tables_stay_texts() {
        let column = |name: &str| Column::new(name.to_owned(), None);
        let mut plot = Plot { x: 0, y: 1, points: vec![(1.0, 2.0)], count: 1, ..Plot::default() };
        plot.bins.add(1.0, &Extremes::of(2.0));
        let drawn = line(&plot, &column("<script>"), &column("\"><b>")).unwrap();
        assert!(!drawn.svg.contains("<script") && !drawn.svg.contains("<b>"), "{}", drawn.svg);
        assert_eq!(value_in_words(Kind::Number, 5.4590), "5.459");
        assert_eq!(value_in_words(Kind::Number, 1e12), "1.000e12");
    }
}
