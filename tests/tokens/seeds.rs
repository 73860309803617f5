//! Promise: the seeds of the token fuzzer are the tokens of the table.
//!
//! A seed is the header and payload of a token, in the form that `fuzz/src/token.rs` reads, or the
//! text itself if the token does not have both. `UPDATE_DOCUMENTS=1 cargo test --workspace --test
//! tokens` regenerates the seeds.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::NOW;
use crate::table::{cases, times};

#[test]
fn every_short_token_is_a_seed_of_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/token");
    let tokens = cases(NOW).into_iter().chain(times(NOW)).map(|(_, token, _)| seed(&token));
    let known: BTreeMap<String, Vec<u8>> = tokens
        .filter(|seed| seed.len() <= MOST_BYTES)
        .enumerate()
        .map(|(index, seed)| (format!("{index:03}"), seed))
        .collect();
    if env::var_os("UPDATE_DOCUMENTS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        for (name, seed) in &known {
            fs::write(folder.join(name), seed).expect("written");
        }
    }
    let files = fs::read_dir(&folder).expect("fuzz/seeds/token").flatten();
    let found: BTreeMap<_, _> = files
        .map(|file| {
            (file.file_name().into_string().expect("text"), fs::read(file.path()).expect("read"))
        })
        .collect();
    assert!(found == known, "run UPDATE_DOCUMENTS=1 cargo test --workspace --test tokens");
}

fn seed(token: &str) -> Vec<u8> {
    let parts: Vec<_> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part)).collect();
    match &parts[..] {
        [Ok(header), Ok(payload), Ok(_)] => [b"\x01", &header[..], b"\0", payload].concat(),
        _ => [b"\0", token.as_bytes()].concat(),
    }
}

const MOST_BYTES: usize = 1_000;
