//! Fetches all headers of a request with one host call, as the filter does.
//!
//! The SDK's function would also copy the headers line by line. The filter calls the host itself to
//! avoid that, so the benchmark measures the same call.
#![allow(unsafe_code)]

use proxy_wasm::types::MapType;

/// Returns all header lines of the request; empty if there are none.
pub(crate) fn all_headers() -> Vec<u8> {
    let (mut data, mut size): (*mut u8, usize) = (std::ptr::null_mut(), 0);
    let map = MapType::HttpRequestHeaders as u32;
    // SAFETY: both pointers are to live locals of the types that the ABI names.
    let status = unsafe { proxy_get_header_map_pairs(map, &mut data, &mut size) };
    if status != 0 || data.is_null() {
        return Vec::new();
    }
    // SAFETY: Envoy obtained `data` from this module's `proxy_on_memory_allocate`, which gives
    // boxed slices of exactly the size asked for, filled it, and keeps no reference.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
}
