//! How does a test link without Envoy, which defines the functions that the module calls?
//!
//! The linker leaves them undefined. No test calls them; Envoy defines them when it loads the module.

fn main() {
    let argument = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => "-Wl,-z,undefs",
        Ok("macos") => "-Wl,-undefined,dynamic_lookup",
        _ => return,
    };
    println!("cargo::rustc-link-arg={argument}");
    println!("cargo::rerun-if-changed=build.rs");
}
