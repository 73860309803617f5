//! A preloaded C library between a program and the C library, built here, and a
//! file through which the test controls it.

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
    /// Builds `tests/faults/<name>.c`; its control file starts with the given bytes.
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

    /// Writes other commands of the same length.
    pub(crate) fn order(&self, orders: &[u8]) {
        let file = fs::File::options().write(true).open(self.orders());
        file.expect("a file").write_all_at(orders, 0).expect("a file");
    }

    /// Returns the path for `LD_PRELOAD`.
    pub(crate) fn library(&self) -> String {
        self.folder.path().join("shim.so").display().to_string()
    }

    /// Returns the path of the control file.
    pub(crate) fn orders(&self) -> String {
        self.folder.path().join("orders").display().to_string()
    }
}
