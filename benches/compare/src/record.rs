//! Records a run in the repository.
//!
//! The summary and all samples go to `benches/results/`, the picture to `docs/`, and the tables
//! into `docs/performance.md`, between two comments.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// Copies the results of a run from `out`, and inserts its report into the document.
///
/// # Errors
/// A file is missing or cannot be written.
pub(crate) fn keep(out: &Path, report: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the record: {error}");
    fs::create_dir_all(RESULTS).map_err(failed)?;
    for name in ["summary.json", "samples.csv"] {
        fs::copy(out.join(name), Path::new(RESULTS).join(name)).map_err(failed)?;
    }
    fs::copy(out.join("comparison.svg"), PICTURE).map_err(failed)?;
    let text = fs::read_to_string(DOCUMENT).map_err(failed)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("the document has lost its first mark")?;
    let (_, after) = rest.split_once(END).ok_or("the document has lost its last mark")?;
    let date = httpdate::fmt_http_date(SystemTime::now());
    let picture = "![CPU time that each filter adds to a request](comparison.svg)";
    let report = report.trim_end();
    let block = format!("{BEGIN}\n{picture}\n\n{date}:\n\n```text\n{report}\n```\n{END}");
    fs::write(DOCUMENT, [before, &block, after].concat()).map_err(failed)
}

const RESULTS: &str = "benches/results";
const PICTURE: &str = "docs/comparison.svg";
const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- measured -->";
const END: &str = "<!-- end of measured -->";
