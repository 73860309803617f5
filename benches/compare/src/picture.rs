//! How does the comparison look?
//!
//! One bar a peer: what it adds to a request, as a median, with a line from the first to the third
//! quarter of the rounds. Readable on a light and on a dark page.

use std::fmt::Write as _;

use crate::results::{Results, find};
use crate::statistics::{median, quantile};

/// The picture as SVG, if every peer that it shows was measured.
pub(crate) fn draw(results: &Results, machine: &str) -> Option<String> {
    if !SHOWN.iter().all(|name| results.has(name)) {
        return None;
    }
    let bars: Vec<_> = SHOWN.iter().map(|name| Bar::of(results, name)).collect();
    let longest = bars.iter().map(|bar| bar.high).fold(1.0, f64::max);
    let scale = BAR_WIDTH / longest;
    let height = TOP + bars.len() as f64 * ROW + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n{STYLE}\
         <title>CPU time that each filter adds to a request in Envoy</title>\n\
         <text class=\"text\" x=\"10\" y=\"22\" font-size=\"15\" font-weight=\"600\">\
         CPU time added to a request, in µs</text>\n"
    );
    for (row, bar) in bars.iter().enumerate() {
        bar.draw(&mut svg, TOP + row as f64 * ROW, scale);
    }
    let y = height - 10.0;
    let _ = writeln!(
        svg,
        "<text class=\"note\" x=\"10\" y=\"{y}\" font-size=\"11\">One Envoy, one worker, medians; \
         lines: half of the rounds. {}</text>\n</svg>",
        machine.replace('&', "&amp;").replace('<', "&lt;")
    );
    Some(svg)
}

struct Bar {
    title: &'static str,
    is_ours: bool,
    middle: f64,
    low: f64,
    high: f64,
}

impl Bar {
    fn of(results: &Results, name: &str) -> Self {
        let peer = find(name);
        let added = results.added(peer);
        let others = ["jwt_authn", "ext_authz", "empty"];
        Self {
            title: peer.title,
            is_ours: !others.iter().any(|other| name.starts_with(other)),
            middle: median(&added),
            low: quantile(&added, 0.25),
            high: quantile(&added, 0.75),
        }
    }

    fn draw(&self, svg: &mut String, y: f64, scale: f64) {
        let Self { title, is_ours, middle, low, high } = self;
        let title = if *is_ours { format!("session-guard: {title}") } else { (*title).to_owned() };
        let class = if *is_ours { "ours" } else { "other" };
        let [middle_x, low, high] = [middle, low, high].map(|value| value.max(0.0) * scale);
        let (text_y, line_y) = (y + 15.0, y + 10.0);
        let (from, to, label) = (LEFT + low, LEFT + high, LEFT + high.max(middle_x) + 6.0);
        let _ = writeln!(
            svg,
            "<text class=\"text\" x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{title}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{middle_x:.1}\" height=\"20\" rx=\"2\"/>\
             <line class=\"spread\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{line_y}\" y2=\"{line_y}\"/>\
             <text class=\"text\" x=\"{label:.1}\" y=\"{text_y}\">{middle:.1}</text>",
            LEFT - 8.0
        );
    }
}

/// From the cheapest way to the dearest.
const SHOWN: [&str; 11] = [
    "empty_module",
    "empty_filter",
    "native_warm_1m",
    "jwt_authn_hs256_cached",
    "warm_1m",
    "native_cold_hs256",
    "cold_hs256",
    "jwt_authn_hs256",
    "jwt_authn_rs256",
    "ext_authz_http",
    "ext_authz_grpc",
];

const WIDTH: f64 = 820.0;
const LEFT: f64 = 350.0;
const BAR_WIDTH: f64 = 410.0;
const ROW: f64 = 28.0;
const TOP: f64 = 38.0;
const BOTTOM: f64 = 30.0;

const STYLE: &str = "<style>\n\
  .text { fill: #1f2328 } .note { fill: #59636e } .ours { fill: #1a7f37 } .other { fill: #8c959f }\n\
  .spread { stroke: #1f2328; stroke-width: 1.5 }\n\
  @media (prefers-color-scheme: dark) {\n\
  .text { fill: #f0f6fc } .note { fill: #9198a1 } .ours { fill: #3fb950 } .other { fill: #656c76 }\n\
  .spread { stroke: #f0f6fc }\n\
  }\n</style>\n";
