//! What pictures show, join and escape.

use super::*;

fn picture(ends: &[&str], arrows: &[(usize, usize, &str)]) -> Picture {
    let arrow = |(from, to, ports): &(usize, usize, &str)| Arrow {
        from: *from,
        to: *to,
        ports: (*ports).to_owned(),
        tone: Tone::Plain,
    };
    Picture {
        title: "t".to_owned(),
        ends: ends.iter().map(|end| (*end).to_owned()).collect(),
        arrows: arrows.iter().map(arrow).collect(),
    }
}

/// The titles of lines and rows.
fn titles(picture: &Picture, class: &str) -> Vec<String> {
    let svg = picture.svg();
    let start = format!("class=\"{class} ");
    let elements = svg.split('<').collect::<Vec<_>>();
    let title = |(at, element): (usize, &&str)| {
        let after = elements.get(at + 1)?.strip_prefix("title>")?;
        element.contains(&start).then(|| after.replace("&gt;", ">"))
    };
    elements.iter().enumerate().filter_map(title).collect()
}

#[test]
fn each_line_has_its_ends_and_ports() {
    let shop = picture(&["shop/web", "shop/db", "the world"], &[(0, 1, "tcp/5432"), (2, 0, "tcp/443")]);
    assert_eq!(titles(&shop, "line"), ["the world -> shop/web tcp/443", "shop/web -> shop/db tcp/5432"]);
    let svg = shop.svg();
    assert!(svg.contains("<title>shop/web: reaches shop/db; reached by the world</title>"), "{svg}");
    assert!(svg.contains("prefers-color-scheme: dark") && !shop.element().contains("<style"), "{svg}");
    assert_eq!(svg, shop.svg());
}

#[test]
fn equal_lines_are_joined() {
    let ends = ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3", "the world"];
    let all = |from: std::ops::Range<usize>, to: std::ops::Range<usize>| {
        from.flat_map(|from| to.clone().map(move |to| (from, to, "tcp/80")))
            .filter(|(from, to, _)| from != to)
            .collect::<Vec<_>>()
    };
    let anybody = picture(&ends, &all(0..7, 0..1));
    assert!(
        titles(&anybody, "line").is_empty() && anybody.svg().contains("tcp/80 ← anybody"),
        "{}",
        anybody.svg()
    );
    let workloads = picture(&ends, &all(0..6, 6..7));
    assert!(titles(&workloads, "line").is_empty() && workloads.svg().contains("tcp/80 ← any workload"));
    assert_eq!(titles(&picture(&ends, &all(0..3, 3..6)), "line"), ["all of a -> all of b tcp/80"]);
    assert_eq!(titles(&picture(&ends, &all(0..3, 3..4)), "line"), ["all of a -> b/1 tcp/80"]);
    let inside = picture(&ends, &all(0..3, 0..3));
    assert!(inside.svg().contains("tcp/80 ← its namespace") && titles(&inside, "row").len() == 1);
    let mut other = picture(&ends, &all(0..3, 3..4));
    other.arrows[1].tone = Tone::Mismatched;
    assert_eq!(titles(&other, "line").len(), 3, "what came out otherwise is not joined");
}

#[test]
fn names_cannot_become_elements() {
    let hostile = picture(&["</title><script>alert(1)</script>", "a/b"], &[(0, 1, "\"'><x")]);
    for svg in [hostile.svg(), hostile.element()] {
        assert!(!svg.contains("<script") && !svg.contains("<x"), "{svg}");
    }
}

#[test]
fn boxes_do_not_overlap_and_lie_inside() {
    let ends: Vec<String> =
        (0..100).map(|n| format!("n{}/workload-{n}", n % 9)).chain(["the world".to_owned()]).collect();
    let arrows = (0..400_usize).map(|n| Arrow {
        from: n * 37 % 101,
        to: n * 53 % 100,
        ports: format!("tcp/{}", 80 + n % 3),
        tone: Tone::Plain,
    });
    let layout = layout::layout(&Picture { title: String::new(), ends, arrows: arrows.collect() });
    let apart = |one: &layout::Place, two: &layout::Place| {
        one.x + one.width <= two.x
            || two.x + two.width <= one.x
            || one.y + one.height <= two.y
            || two.y + two.height <= one.y
    };
    for places in [&layout.boxes, &layout.frames] {
        for (at, one) in places.iter().enumerate() {
            assert!(places[at + 1..].iter().all(|two| apart(one, two)), "{one:?}");
            assert!(one.x >= 0.0 && one.x + one.width <= layout.width && one.y + one.height <= layout.height);
        }
    }
    assert_eq!((layout.boxes.len(), layout.frames.len()), (101, 9));
}

#[test]
fn a_picture_of_nothing_says_so() {
    assert!(Picture::default().svg().contains(">nobody</text>"));
}
