//! Places everything: namespaces and, in each, its workloads in columns, so that lines go from left to right where possible.

use super::{
    Picture,
    join::{Groups, Row, Seat, groups, rows},
};
use std::collections::{BTreeMap, BTreeSet};

/// Width of a character of the names, and of the smaller ports.
const NAME: f64 = 7.6;
const PORT: f64 = 6.7;
pub(super) const HEAD: f64 = 24.0;
pub(super) const LINE: f64 = 16.0;
const PAD: f64 = 14.0;
const GAP: f64 = 12.0;
const BETWEEN: f64 = 70.0;
const MARGIN: f64 = 16.0;
/// Longer texts are shortened; their titles have the whole text.
pub(super) const LONGEST: usize = 34;

/// A box: a workload, an end outside, or the frame of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) seat: Seat,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Indexes of its rows.
    pub(super) rows: Vec<usize>,
}

/// A finished layout.
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) rows: Vec<Row>,
    pub(super) frames: Vec<Place>,
    pub(super) boxes: Vec<Place>,
    /// The row, the beginning, and the points of the curve of each line.
    pub(super) lines: Vec<(usize, Seat, [f64; 4])>,
}

/// Shows a text in at most [`LONGEST`] characters.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let start: String = text.chars().take(LONGEST - 1).collect();
    start + "…"
}

pub(super) fn row_text(row: &Row) -> String {
    if row.who.is_empty() { row.ports.clone() } else { format!("{} ← {}", row.ports, row.who.join(", ")) }
}

impl Place {
    fn new(name: &str, seat: Seat, all: &[Row]) -> Self {
        let rows: Vec<usize> = (0..all.len()).filter(|row| all[*row].at == seat).collect();
        let characters = |text: &str| shortened(text).chars().count() as f64;
        let widest = rows.iter().map(|row| 14.0 + PORT * characters(&row_text(&all[*row])));
        let width = widest.fold(NAME * characters(name), f64::max).max(70.0) + 2.0 * 10.0;
        let below = if rows.is_empty() { 0.0 } else { 6.0 };
        let height = HEAD + LINE * rows.len() as f64 + below;
        Self { name: name.to_owned(), seat, x: 0.0, y: 0.0, width, height, rows }
    }

    /// Where a line to a point leaves the box: at the right if the point is further right, otherwise at the left.
    fn exit(&self, to: f64) -> [f64; 2] {
        let right = self.x + self.width;
        [if to > right { right } else { self.x }, self.y + HEAD / 2.0]
    }

    fn entry(&self, row: usize) -> [f64; 2] {
        let at = self.rows.iter().position(|own| *own == row).unwrap_or_default();
        [self.x, self.y + HEAD + LINE * (at as f64 + 0.5)]
    }
}

/// A frame with its boxes, placed from its own corner.
struct Block {
    frame: Option<Place>,
    boxes: Vec<Place>,
    width: f64,
    height: f64,
}

impl Block {
    fn move_to(&mut self, x: f64, y: f64) {
        for place in self.frame.iter_mut().chain(&mut self.boxes) {
            place.x += x;
            place.y += y;
        }
    }
}

pub(super) fn layout(picture: &Picture) -> Layout {
    let groups = groups(picture);
    let rows = rows(picture, &groups);
    let group_of = |seat: Seat| match seat {
        Seat::Group(group) => Some(group),
        Seat::End(end) => groups.iter().position(|(_, members)| members.contains(&end)),
    };
    let edges: BTreeSet<(Seat, Seat)> =
        rows.iter().flat_map(|row| row.lines.iter().map(|from| (*from, row.at))).collect();
    let between: BTreeSet<(usize, usize)> = edges
        .iter()
        .filter_map(|(from, to)| Some((group_of(*from)?, group_of(*to)?)))
        .filter(|(from, to)| from != to)
        .collect();
    let mut blocks: Vec<Option<Block>> = groups
        .iter()
        .enumerate()
        .map(|(number, _)| Some(block(picture, &groups, number, &rows, &edges)))
        .collect();

    // An end outside is at the left as a source, and at the right as a destination.
    let outside = |end: &usize| picture.namespace(*end).is_none();
    let comes: BTreeSet<usize> = rows.iter().flat_map(|row| row.from.iter().copied()).collect();
    let is_source = |end: usize| edges.iter().any(|(from, _)| *from == Seat::End(end));
    let is_target = |end: usize| rows.iter().any(|row| row.at == Seat::End(end));
    let all = || (0..picture.ends.len()).filter(outside);
    let left = all().filter(|end| is_source(*end) || !is_target(*end) && !comes.contains(end));
    let right = all().filter(|end| is_target(*end));
    let lone = |end: usize, with_rows: bool| {
        let seat = Seat::End(end);
        let place = Place::new(&picture.ends[end], seat, if with_rows { &rows } else { &[] });
        Block { width: place.width, height: place.height, frame: None, boxes: vec![place] }
    };

    let mut columns: Vec<Vec<Block>> = vec![left.map(|end| lone(end, false)).collect()];
    let layers = columns_of(groups.len(), &between);
    let area: f64 =
        blocks.iter().flatten().map(|block| (block.width + BETWEEN) * (block.height + 2.0 * GAP)).sum();
    let tallest = blocks.iter().flatten().map(|block| block.height).fold(0.0, f64::max);
    let limit = area.sqrt().mul_add(0.8, 0.0).max(420.0).max(tallest);
    let mut heights: BTreeMap<usize, f64> = BTreeMap::new();
    let deepest = layers.iter().max().map_or(0, |deepest| deepest + 1);
    for layer in 0..deepest {
        let mut here: Vec<usize> = (0..groups.len()).filter(|group| layers[*group] == layer).collect();
        let middle = |group: &usize| {
            let known: Vec<f64> = between
                .iter()
                .filter(|(_, to)| to == group)
                .filter_map(|(from, _)| heights.get(from).copied())
                .collect();
            if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
        };
        here.sort_by(|one, two| middle(one).total_cmp(&middle(two)).then(one.cmp(two)));
        let mut column: Vec<Block> = Vec::new();
        let mut height = 0.0;
        for group in here {
            let Some(block) = blocks[group].take() else { continue };
            if !column.is_empty() && height + block.height > limit {
                columns.push(std::mem::take(&mut column));
                height = 0.0;
            }
            heights.insert(group, height + block.height / 2.0);
            height += block.height + 2.0 * GAP;
            column.push(block);
        }
        columns.push(column);
    }
    columns.push(right.map(|end| lone(end, true)).collect());
    columns.retain(|column| !column.is_empty());
    let mut placed = place_columns(columns);
    let frames: Vec<Place> = placed.iter_mut().filter_map(|block| block.frame.take()).collect();
    let boxes: Vec<Place> = placed.into_iter().flat_map(|block| block.boxes).collect();

    let lines = lines(&rows, &frames, &boxes);
    let extent = |end: fn(&Place) -> f64| frames.iter().chain(&boxes).map(end).fold(120.0, f64::max) + MARGIN;
    let (width, height) = (extent(|place| place.x + place.width), extent(|place| place.y + place.height));
    Layout { width, height, rows, frames, boxes, lines }
}

fn place_columns(columns: Vec<Vec<Block>>) -> Vec<Block> {
    let high =
        |column: &Vec<Block>| column.iter().map(|block| block.height + 2.0 * GAP).sum::<f64>() - 2.0 * GAP;
    let tallest = columns.iter().map(high).fold(0.0, f64::max);
    let mut placed = Vec::new();
    let mut x = MARGIN;
    for mut column in columns {
        let mut y = MARGIN + (tallest - high(&column)) / 2.0;
        let width = column.iter().map(|block| block.width).fold(0.0, f64::max);
        for block in &mut column {
            block.move_to(x, y);
            y += block.height + 2.0 * GAP;
        }
        placed.extend(column);
        x += width + BETWEEN;
    }
    placed
}

/// The lines from their beginnings to the rows. If an end outside has two boxes, the right one has the rows.
fn lines(rows: &[Row], frames: &[Place], boxes: &[Place]) -> Vec<(usize, Seat, [f64; 4])> {
    let mut lines = Vec::new();
    let mut all = frames.iter().chain(boxes);
    let mut found: BTreeMap<Seat, Vec<&Place>> = BTreeMap::new();
    all.by_ref().for_each(|place| found.entry(place.seat).or_default().push(place));
    for (number, row) in rows.iter().enumerate() {
        let at =
            found.get(&row.at).and_then(|places| places.iter().find(|place| place.rows.contains(&number)));
        let Some(to) = at else { continue };
        for from in &row.lines {
            if let Some(place) = found.get(from).and_then(|places| places.first()) {
                let [u, v] = to.entry(number);
                let [x, y] = place.exit(u);
                lines.push((number, *from, [x, y, u, v]));
            }
        }
    }
    lines
}

/// The frame of a namespace with its workloads.
fn block(
    picture: &Picture,
    groups: &Groups<'_>,
    number: usize,
    rows: &[Row],
    edges: &BTreeSet<(Seat, Seat)>,
) -> Block {
    let (name, members) = &groups[number];
    let at = |seat: &Seat| match seat {
        Seat::End(end) => members.iter().position(|member| member == end),
        Seat::Group(_) => None,
    };
    let inside: BTreeSet<(usize, usize)> =
        edges.iter().filter_map(|(from, to)| Some((at(from)?, at(to)?))).collect();
    let layers = columns_of(members.len(), &inside);
    let most = (2.0 * members.len() as f64).sqrt().ceil().max(5.0) as usize;
    let mut frame = Place::new(name, Seat::Group(number), rows);
    let top = frame.height + if frame.rows.is_empty() { 2.0 } else { 6.0 };
    let mut boxes: Vec<Place> = Vec::new();
    let mut x = PAD;
    let mut bottom: f64 = top;
    for layer in 0..layers.iter().max().map_or(0, |deepest| deepest + 1) {
        let here: Vec<usize> = (0..members.len()).filter(|member| layers[*member] == layer).collect();
        let mut parts = here.chunks(here.len().div_ceil(here.len().div_ceil(most)).max(1)).peekable();
        while let Some(part) = parts.next() {
            let column = part.iter().map(|member| {
                let end = members[*member];
                let short = picture.ends[end].split_once('/').map_or("", |(_, short)| short);
                Place::new(short, Seat::End(end), rows)
            });
            let mut column: Vec<Place> = column.collect();
            let width = column.iter().map(|place| place.width).fold(0.0, f64::max);
            let mut y = top;
            for place in &mut column {
                (place.x, place.y, place.width) = (x, y, width);
                y += place.height + GAP;
            }
            bottom = bottom.max(y - GAP);
            boxes.extend(column);
            x += width + if parts.peek().is_some() { 2.0 * GAP } else { 0.7 * BETWEEN };
        }
    }
    let right = boxes.iter().map(|place| place.x + place.width).fold(0.0, f64::max);
    frame.width = frame.width.max(right + PAD);
    frame.height = bottom + PAD;
    Block { width: frame.width, height: frame.height, frame: Some(frame), boxes }
}

/// The column of each of this many nodes. A long chain of them is folded, so that a picture is about as high as it is wide.
fn columns_of(nodes: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let layers = layers(nodes, edges);
    let deep = layers.iter().max().map_or(0, |deepest| deepest + 1);
    let most = ((nodes as f64).sqrt().ceil() as usize).clamp(2, 4);
    layers.into_iter().map(|layer| if deep > most { layer * most / deep } else { layer }).collect()
}

/// How far from the start each of this many nodes is; an edge that would close a circle does not count.
fn layers(nodes: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Open,
        Done,
    }
    let mut seen = vec![Seen::Not; nodes];
    let mut order = Vec::new();
    let mut kept: Vec<(usize, usize)> = Vec::new();
    let of = |node: usize| edges.range((node, 0)..=(node, usize::MAX)).map(|(_, to)| *to).collect::<Vec<_>>();
    // The nodes with the fewest edges that lead to them come first.
    let mut starts: Vec<usize> = (0..nodes).collect();
    starts.sort_by_key(|node| (edges.iter().filter(|(_, to)| to == node).count(), *node));
    for start in starts {
        if seen[start] != Seen::Not {
            continue;
        }
        let mut stack = vec![(start, of(start).into_iter())];
        seen[start] = Seen::Open;
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            match next.next() {
                Some(to) if seen[to] == Seen::Open => {}
                Some(to) => {
                    kept.push((node, to));
                    if seen[to] == Seen::Not {
                        seen[to] = Seen::Open;
                        stack.push((to, of(to).into_iter()));
                    }
                }
                None => {
                    seen[node] = Seen::Done;
                    order.push(node);
                    stack.pop();
                }
            }
        }
    }
    let mut layers = vec![0; nodes];
    for node in order.into_iter().rev() {
        for (_, to) in kept.iter().filter(|(from, _)| *from == node) {
            layers[*to] = layers[*to].max(layers[node] + 1);
        }
    }
    layers
}
