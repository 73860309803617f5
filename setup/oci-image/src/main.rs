//! `oci-image MODULE DIRECTORY`: packs the module, reads it back, and prints the digests.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [module, directory] = arguments.as_slice() else {
        eprintln!("oci-image MODULE DIRECTORY");
        return ExitCode::from(2);
    };
    match pack(Path::new(module), Path::new(directory)) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("oci-image: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn pack(module: &Path, directory: &Path) -> io::Result<String> {
    let bytes = fs::read(module)?;
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let manifest = oci_image::write(&bytes, env!("CARGO_PKG_VERSION"), directory)?;
    if oci_image::read(directory)? != bytes {
        return Err(io::Error::other("what is read back is not what was written"));
    }
    let (module, directory) = (module.display(), directory.display());
    let digest = oci_image::digest(&bytes);
    Ok(format!("{module}  {digest}\n{directory}  {manifest}"))
}
