//! What stands between a program and its system? A small library in C, built here, that the program
//! loads before all others, and a file by which the test tells it what to do.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A built library and its file.
pub(crate) struct Shim {
    folder: TempDir,
}

impl Shim {
    /// Builds `tests/faults/<name>.c`; its file begins with those bytes.
    pub(crate) fn build(name: &str, orders: &[u8]) -> Self {
        let shim = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::write(shim.orders(), orders).expect("a file");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
        let built = Command::new("cc")
            .args(["-O2", "-Wall", "-Wno-nonnull-compare", "-shared", "-fPIC", "-o"])
            .arg(shim.library())
            .arg(folder.join(name).with_extension("c"))
            .status();
        assert!(built.expect("a C compiler: install Debian's gcc").success());
        shim
    }

    /// Other orders of the same length.
    pub(crate) fn order(&self, orders: &[u8]) {
        let file = fs::File::options().write(true).open(self.orders());
        file.expect("a file").write_all_at(orders, 0).expect("a file");
    }

    /// For `LD_PRELOAD`.
    pub(crate) fn library(&self) -> String {
        self.folder.path().join("shim.so").display().to_string()
    }

    /// Its file.
    pub(crate) fn orders(&self) -> String {
        self.folder.path().join("orders").display().to_string()
    }
}
