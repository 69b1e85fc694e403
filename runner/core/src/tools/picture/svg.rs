//! Writes a layout as SVG.

use super::{
    Picture, STYLE,
    join::{Row, Seat},
    layout::{HEAD, LINE, Layout, Place, layout, row_text, shortened},
};
use std::{collections::BTreeSet, fmt::Write as _};

/// A title lists at most this many names; if there are more, it gives the number of the others.
const MOST_NAMES: usize = 12;

pub(super) fn document(picture: &Picture) -> String {
    format!("{}\n", drawn(picture, &format!("<style>\n{STYLE}</style>\n"), ""))
}

pub(super) fn element(picture: &Picture) -> String {
    drawn(picture, "", " tabindex=\"0\"")
}

fn drawn(picture: &Picture, style: &str, focus: &str) -> String {
    let layout = layout(picture);
    let (width, height) = (layout.width.ceil(), layout.height.ceil());
    let title = escaped(&picture.title);
    // Browsers would stop at the element itself on the way from end to end, although nothing can be done there.
    let root = if focus.is_empty() { "" } else { "tabindex=\"-1\" " };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         {root}role=\"graphics-document document\" aria-label=\"{title}\">\n<title>{title}</title>\n{style}"
    );
    if picture.ends.is_empty() {
        svg.push_str("<text class=\"name\" x=\"16\" y=\"30\">nobody</text>\n");
    }
    for frame in &layout.frames {
        rectangle(&mut svg, "frame", frame);
        head(&mut svg, "space", frame, &format!("namespace {}", frame.name));
    }
    for (number, from, points) in &layout.lines {
        line(&mut svg, picture, &layout, &layout.rows[*number], *from, *points);
    }
    for frame in &layout.frames {
        rows(&mut svg, picture, &layout, frame);
    }
    for place in &layout.boxes {
        let Seat::End(end) = place.seat else { continue };
        let class = if picture.namespace(end).is_some() { "end" } else { "end outside" };
        let about = about(picture, &layout, end);
        let about = escaped(&about);
        let _ = writeln!(
            svg,
            "<g class=\"{class}\" data-id=\"{end}\"{focus} role=\"img\" aria-label=\"{about}\"><title>{about}</title>"
        );
        rectangle(&mut svg, "box", place);
        head(&mut svg, "name", place, "");
        svg.push_str("</g>\n");
        rows(&mut svg, picture, &layout, place);
    }
    svg + "</svg>"
}

/// What is shown about an end: its name, whom it reaches, and who reaches it.
fn about(picture: &Picture, layout: &Layout, end: usize) -> String {
    let others = |own: fn(&Row) -> &BTreeSet<usize>, other: fn(&Row) -> &BTreeSet<usize>| {
        let rows = layout.rows.iter().filter(|row| own(row).contains(&end));
        rows.flat_map(other).copied().filter(|other| *other != end).collect::<BTreeSet<_>>()
    };
    let (targets, sources) = (others(|row| &row.from, |row| &row.to), others(|row| &row.to, |row| &row.from));
    let told =
        |ends: &BTreeSet<usize>| if ends.is_empty() { "nobody".to_owned() } else { names(picture, ends) };
    format!("{}: reaches {}; reached by {}", picture.ends[end], told(&targets), told(&sources))
}

fn names(picture: &Picture, ends: &BTreeSet<usize>) -> String {
    let mut names: Vec<&str> = ends.iter().take(MOST_NAMES).map(|end| picture.ends[*end].as_str()).collect();
    let more = format!("{} more", ends.len().saturating_sub(MOST_NAMES));
    if ends.len() > MOST_NAMES {
        names.push(&more);
    }
    names.join(", ")
}

fn rectangle(svg: &mut String, class: &str, place: &Place) {
    let Place { x, y, width, height, .. } = place;
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"5\"/>"
    );
}

fn head(svg: &mut String, class: &str, place: &Place, title: &str) {
    let (x, y) = (place.x + 10.0, place.y + HEAD / 2.0 + 4.5);
    let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(title)) };
    let name = escaped(&shortened(&place.name));
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{name}{title}</text>");
}

fn ids(ends: &BTreeSet<usize>) -> String {
    ends.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

fn rows(svg: &mut String, picture: &Picture, layout: &Layout, place: &Place) {
    for (at, number) in place.rows.iter().enumerate() {
        let row = &layout.rows[*number];
        let (x, y) = (place.x, place.y + HEAD + LINE * (at as f64 + 0.5));
        let whole = format!("{} -> {} {}", names(picture, &row.from), target(picture, row), row.ports);
        let everybody = row.from.len() + 1 >= picture.ends.len();
        let from = if everybody { "*".to_owned() } else { ids(&row.from) };
        let _ = writeln!(
            svg,
            "<g class=\"row {}\" data-from=\"{from}\" data-to=\"{}\"><title>{}</title><path d=\"M{:.1} {:.1}l7 4-7 4z\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            row.tone.class(),
            ids(&row.to),
            escaped(&whole),
            x + 1.0,
            y - 4.0,
            x + 13.0,
            y + 4.0,
            escaped(&shortened(&row_text(row)))
        );
    }
}

fn target(picture: &Picture, row: &Row) -> String {
    match (row.at, row.to.first()) {
        (Seat::End(end), _) => picture.ends[end].clone(),
        (Seat::Group(_), Some(end)) => format!("all of {}", picture.namespace(*end).unwrap_or_default()),
        (Seat::Group(_), None) => String::new(),
    }
}

fn line(svg: &mut String, picture: &Picture, layout: &Layout, row: &Row, from: Seat, [x, y, u, v]: [f64; 4]) {
    let (source, ids_from) = match from {
        Seat::End(end) => (picture.ends[end].clone(), end.to_string()),
        Seat::Group(_) => {
            let frame = layout.frames.iter().find(|frame| frame.seat == from);
            let name = frame.map_or("", |frame| frame.name.as_str());
            let members =
                (0..picture.ends.len()).filter(|end| picture.namespace(*end) == Some(name)).collect();
            (format!("all of {name}"), ids(&members))
        }
    };
    // A line that does not go to the right leaves at the left and bends around.
    let (out, back) = if u > x {
        let bend = ((u - x) * 0.5).max(24.0);
        (bend, bend)
    } else {
        let bend = (12.0 + (v - y).abs() * 0.15).min(60.0);
        (-bend, bend)
    };
    let title = format!("{source} -> {} {}", target(picture, row), row.ports);
    let _ = writeln!(
        svg,
        "<path class=\"line {}\" data-from=\"{ids_from}\" data-to=\"{}\" d=\"M{x:.1} {y:.1}C{:.1} {y:.1} {:.1} {v:.1} {u:.1} {v:.1}\"><title>{}</title></path>",
        row.tone.class(),
        ids(&row.to),
        x + out,
        u - back,
        escaped(&title)
    );
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
