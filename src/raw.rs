//! Host functions that the SDK does not offer in a usable form.
//!
//! - Header functions: the SDK assumes that names are UTF-8, copies each line separately and panics
//!   on every unexpected status. Here names and values are bytes and a failure is a return value.
//! - The local reply: the SDK's function has no parameter for the response code details. An access
//!   log needs them to show why a request was refused.
//! - Foreign functions of the proxy: the SDK panics on unexpected statuses here too.
//!
//! This is the only file of the filter with `unsafe` code.
#![allow(unsafe_code)]

use proxy_wasm::types::MapType;
use session_guard_core::exchange::Half;
use session_guard_core::refusal::LocalResponse;

/// Returns all lines of one header map in the form that the core's `Headers::parse` reads, or `None`
/// if Envoy has no such map now.
pub(crate) fn headers(map: MapType) -> Option<Vec<u8>> {
    let mut data: *mut u8 = std::ptr::null_mut();
    let mut size: usize = 0;
    // SAFETY: both pointers are to live locals of the types that the ABI names.
    let status = unsafe { proxy_get_header_map_pairs(map as u32, &mut data, &mut size) };
    if status != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: Envoy obtained `data` from this module's `proxy_on_memory_allocate`, which gives
    // boxed slices of exactly the size asked for, filled it, and keeps no reference.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Replaces all lines of this name by one line. Fails only if Envoy has no such map now.
pub(crate) fn set(map: MapType, name: &[u8], value: &[u8]) -> bool {
    put(proxy_replace_header_map_value, map, name, value)
}

/// Adds a line of this name. Fails only if Envoy has no such map now.
pub(crate) fn add(map: MapType, name: &[u8], value: &[u8]) -> bool {
    put(proxy_add_header_map_value, map, name, value)
}

/// A function of Envoy that takes a map, a name and a value.
type PutHeader = unsafe extern "C" fn(u32, *const u8, usize, *const u8, usize) -> u32;

fn put(function: PutHeader, map: MapType, name: &[u8], value: &[u8]) -> bool {
    // SAFETY: every pointer is to a live slice and goes with that slice's length.
    let status =
        unsafe { function(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    status == OK
}

/// Removes all lines of this name. Fails only if Envoy has no such map now.
pub(crate) fn remove(map: MapType, name: &[u8]) -> bool {
    // SAFETY: the pointer is to a live slice and goes with that slice's length.
    let status = unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    status == OK
}

/// Resumes the paused request or response of the effective context. Fails only if the request has
/// ended.
pub(crate) fn resume(half: Half) -> bool {
    let stream = match half {
        Half::Request => 0,
        Half::Response => 1,
    };
    // SAFETY: no pointers.
    unsafe { proxy_continue_stream(stream) == OK }
}

/// Sends a local reply to the request of the effective context. If the application's response has
/// already begun, Envoy only ends it. Returns whether Envoy accepted the reply.
pub(crate) fn respond(response: &LocalResponse) -> bool {
    let LocalResponse { status, code_details, headers, body } = response;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    answer(*status, code_details, &headers, body)
}

/// Responds 503 to a request that arrived before any configuration was accepted.
pub(crate) fn respond_not_configured() -> bool {
    answer(503, "session_guard_not_configured", &[], "")
}

/// Sends a local reply and returns whether Envoy accepted it. The access log shows `details` as
/// `%RESPONSE_CODE_DETAILS%`.
fn answer(status: u16, details: &str, headers: &[(&str, &str)], body: &str) -> bool {
    let headers = serialised(headers);
    // SAFETY: every pointer is to a live slice and goes with that slice's length.
    let status = unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    };
    status == OK
}

/// Publishes a value of the effective context's request for other filters and the access log. The
/// SDK's function would allocate the name again for every request.
pub(crate) fn publish(name: &str, value: &[u8]) -> bool {
    // SAFETY: every pointer is to a live slice and goes with that slice's length.
    let status =
        unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    status == OK
}

/// Calls a foreign function of the proxy. An error is the proxy-wasm status.
pub(crate) fn call(name: &str, argument: &[u8]) -> Result<Vec<u8>, u32> {
    let mut data: *mut u8 = std::ptr::null_mut();
    let mut size: usize = 0;
    // SAFETY: every input goes with its slice's length; both outputs are to live locals of the types
    // that the ABI names.
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            &mut data,
            &mut size,
        )
    };
    if status != OK {
        return Err(status);
    }
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: as in `headers`.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Serialises headers in the format of proxy-wasm, which the core's `Headers::parse` reads.
fn serialised(headers: &[(&str, &str)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(headers.len()).to_vec();
    for (name, value) in headers {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;

    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;

    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;

    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;

    fn proxy_continue_stream(stream: u32) -> u32;

    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;

    fn proxy_set_property(
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;

    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        result: *mut *mut u8,
        result_size: *mut usize,
    ) -> u32;
}

const OK: u32 = 0;

/// The status that means that the proxy does not have the function or item.
pub(crate) const NOT_FOUND: u32 = 1;

const NO_GRPC_STATUS: i32 = -1;
