//! Packs the filter as an OCI image, and reads it back as Istio does.
//!
//! The image is an image layout (OCI image specification, image-layout.md) of one manifest with one
//! layer, an archive that contains `plugin.wasm`. This is the "compat" variant of the Wasm image
//! specification, which every registry stores and which Istio, containerd and `docker load` accept.
//! The image contains no time and no name of this machine, so the same module gives the same
//! digests.

use std::fs;
use std::io::{self, Error, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hmac_sha256::Hash;
use serde_json::{Value, json};

/// Writes the module as an OCI image layout into a directory, which is created if it does not
/// exist. Returns the manifest's digest, `sha256:…`, which identifies the image in a registry and
/// in `sha256` of a WasmPlugin.
///
/// # Errors
/// A file or directory cannot be written.
pub fn write(module: &[u8], version: &str, directory: &Path) -> io::Result<String> {
    fs::create_dir_all(directory.join(BLOBS))?;
    let archive = archive(module)?;
    let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
    compressed.write_all(&archive)?;
    let layer = blob(directory, LAYER, &compressed.finish()?)?;
    let configuration = json!({
        "architecture": "wasm",
        "os": "wasi",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(&archive)]},
    });
    let configuration = blob(directory, CONFIGURATION, configuration.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": configuration,
        "layers": [layer],
        "annotations": {
            "org.opencontainers.image.title": "session-guard",
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    });
    let mut manifest = blob(directory, MANIFEST, manifest.to_string().as_bytes())?;
    let name = manifest["digest"].as_str().unwrap_or_default().to_owned();
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": version});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    fs::write(directory.join("index.json"), index.to_string())?;
    fs::write(directory.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    Ok(name)
}

/// Returns the module of an image layout, found as Istio finds it: the last layer must be a
/// compressed archive that contains `plugin.wasm` in any folder. Checks every digest and size.
///
/// # Errors
/// A part is missing, does not match its digest or size, or has another media type.
pub fn read(directory: &Path) -> io::Result<Vec<u8>> {
    let index: Value = serde_json::from_slice(&fs::read(directory.join("index.json"))?)?;
    let manifest = resolve(directory, &index["manifests"][0], MANIFEST)?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    let configuration = resolve(directory, &manifest["config"], CONFIGURATION)?;
    let configuration: Value = serde_json::from_slice(&configuration)?;
    let layers = manifest["layers"].as_array().ok_or_else(|| wrong("no layers"))?;
    let last = layers.last().ok_or_else(|| wrong("no layer"))?;
    let mut archive = Vec::new();
    let compressed = resolve(directory, last, LAYER)?;
    GzDecoder::new(compressed.as_slice()).read_to_end(&mut archive)?;
    let named = configuration["rootfs"]["diff_ids"].as_array().and_then(|all| all.last());
    if named.and_then(Value::as_str) != Some(digest(&archive).as_str()) {
        return Err(wrong("the layer is not the one that the configuration names"));
    }
    for entry in tar::Archive::new(archive.as_slice()).entries()? {
        let mut entry = entry?;
        if entry.path()?.file_name().is_some_and(|name| name == MODULE) {
            let mut module = Vec::new();
            entry.read_to_end(&mut module)?;
            return Ok(module);
        }
    }
    Err(wrong("no plugin.wasm in the last layer"))
}

/// Returns the digest in the form `sha256:` and 64 hex digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hex = Hash::hash(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256:{hex}")
}

fn archive(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, MODULE, module)?;
    archive.into_inner()
}

/// Stores the bytes under their digest. Returns their OCI descriptor.
fn blob(directory: &Path, kind: &str, bytes: &[u8]) -> io::Result<Value> {
    let digest = digest(bytes);
    let (_, hex) = digest.split_once(':').unwrap_or_default();
    fs::write(directory.join(BLOBS).join(hex), bytes)?;
    Ok(json!({"mediaType": kind, "digest": digest, "size": bytes.len()}))
}

/// Returns the bytes that a descriptor refers to, after checking media type, digest and size.
fn resolve(directory: &Path, description: &Value, kind: &str) -> io::Result<Vec<u8>> {
    if description["mediaType"] != kind {
        return Err(wrong(&format!("{} where {kind} belongs", description["mediaType"])));
    }
    let named = description["digest"].as_str().unwrap_or_default();
    let (_, hex) = named.split_once(':').ok_or_else(|| wrong("no digest"))?;
    let bytes = fs::read(directory.join(BLOBS).join(hex))?;
    if digest(&bytes) != named || description["size"] != bytes.len() {
        return Err(wrong(&format!("{named} is something else")));
    }
    Ok(bytes)
}

fn wrong(problem: &str) -> Error {
    Error::new(io::ErrorKind::InvalidData, problem)
}

const BLOBS: &str = "blobs/sha256";
const MODULE: &str = "plugin.wasm";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_read_back_and_its_digest_is_reproducible() {
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let module = b"\0asm, in a manner of speaking".repeat(1000);
        let digests = [&one, &two].map(|folder| write(&module, "1.2.3", folder.path()).unwrap());
        assert_eq!(digests[0], digests[1]);
        assert_eq!(read(one.path()).unwrap(), module);
    }

    #[test]
    fn a_changed_image_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        write(b"module", "1.2.3", folder.path()).unwrap();
        for blob in fs::read_dir(folder.path().join(BLOBS)).unwrap() {
            let path = blob.unwrap().path();
            let whole = fs::read(&path).unwrap();
            let mut changed = whole.clone();
            *changed.last_mut().unwrap() ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(read(folder.path()).is_err(), "{}", path.display());
            fs::write(&path, whole).unwrap();
        }
        assert!(read(folder.path()).is_ok());
    }
}
