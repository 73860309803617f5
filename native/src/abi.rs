//! Envoy's interface for dynamic modules (ABI v0.2.0): the functions of Envoy and the hooks that it
//! calls.
//!
//! The declarations were written for this crate, from Envoy's documentation. `tests/symbols.rs`
//! compares them with the pinned Envoy: Envoy must export every function declared here, and the
//! module must export every hook that Envoy looks up for an HTTP filter.
//!
//! # Why the rest of the crate needs no unsafe code
//!
//! - A handle of Envoy ([`RequestHandle`], [`ConfigurationHandle`]) exists only while a hook runs:
//!   it borrows from the hook, and Envoy keeps the object alive for that time.
//! - Only a scheduler outlives a hook. Envoy allows its use from any thread, and ignores it once
//!   its request or configuration has ended. The owner of a scheduler drops it before that.
//! - The module's objects that Envoy holds are reference-counted. Each hook takes one more
//!   reference while it runs, because a call into Envoy may destroy the object during the hook.
//! - Header lines point into Envoy's memory until a header changes, so they are copied at once.
//!
//! # Why no panic reaches Envoy
//!
//! Every hook runs inside `catch_unwind`. The response to a request whose hook panics is 503.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use session_guard_core::call::Response;
use session_guard_core::headers::Headers;

use crate::configuration::Loaded;
use crate::request::NativeExchange;
use crate::{hooks, log};

/// The version of the interface that these declarations follow.
const ABI_VERSION: &std::ffi::CStr = c"v0.2.0";

/// A request of Envoy. Valid while a hook runs.
///
/// [`RequestHandle::headers`] borrows it, and everything that may change or free a header borrows it
/// mutably. So the compiler checks that no header line is read after a change.
pub(crate) struct RequestHandle<'hook> {
    envoy: *mut c_void,
    hook: PhantomData<&'hook ()>,
}

/// A filter's configuration on the main thread. Valid while a hook runs.
#[derive(Clone, Copy)]
pub(crate) struct ConfigurationHandle<'hook> {
    envoy: *mut c_void,
    hook: PhantomData<&'hook ()>,
}

/// One of the header maps of a request.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Map {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
}

/// What Envoy does with a request or a response after a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookStatus {
    /// Envoy passes the request or response on.
    Continue,
    /// Envoy waits for [`RequestHandle::continue_request`] or [`RequestHandle::continue_response`],
    /// or for a local reply.
    Stop,
}

/// The severity of a log line.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum LogLevel {
    Info = 2,
    Warning = 3,
    Error = 4,
}

/// A call to a cluster.
pub(crate) struct Outgoing<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) timeout_milliseconds: u64,
}

/// Envoy's number for a metric.
#[derive(Clone, Copy)]
pub(crate) struct Metric(usize);

/// Envoy's number for a secret that it discovers.
#[derive(Clone, Copy)]
pub(crate) struct SecretId(usize);

/// The kind of a metric.
#[derive(Clone, Copy)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// A function of Envoy that changes the lines of one name.
type ChangeHeader = unsafe extern "C" fn(*mut c_void, u32, Buffer, Buffer) -> bool;

impl RequestHandle<'_> {
    /// Returns all lines of a header map, without copying them. Returns `None` if the request has
    /// no header map of this kind now, for example no trailers.
    pub(crate) fn headers(&self, map: Map) -> Option<Headers<'_>> {
        // SAFETY: Envoy's object is alive while the hook runs.
        let count =
            unsafe { envoy_dynamic_module_callback_http_get_headers_size(self.envoy, map as u32) };
        let (mut few, mut many) = ([HeaderLine::EMPTY; FEW_LINES], Vec::new());
        let lines = match few.get_mut(..count) {
            Some(few) => few,
            None => {
                many.resize(count, HeaderLine::EMPTY);
                &mut many
            }
        };
        // SAFETY: `lines` has room for the number of lines that Envoy has just returned, and
        // nothing has changed since.
        let found = unsafe {
            envoy_dynamic_module_callback_http_get_headers(
                self.envoy,
                map as u32,
                lines.as_mut_ptr(),
            )
        };
        // SAFETY: Envoy has filled the lines in, and they stay valid until a header changes. While
        // they are borrowed, no method that changes a header can be called.
        found.then(|| unsafe { borrowed(lines) })
    }

    /// Returns the value of the first line of this name, if there is one.
    pub(crate) fn first_header(&self, map: Map, name: &str) -> Option<Vec<u8>> {
        let mut value = Buffer::NONE;
        // SAFETY: Envoy's object is alive, and everything else lives for the length of the call.
        let is_found = unsafe {
            envoy_dynamic_module_callback_http_get_header(
                self.envoy,
                map as u32,
                Buffer::of(name.as_bytes()),
                &mut value,
                0,
                null_mut(),
            )
        };
        // SAFETY: Envoy has filled the value in, and it stays valid until a header changes.
        is_found.then(|| unsafe { bytes(value.data, value.length) }.to_vec())
    }

    /// Replaces all lines of this name by one line. Returns whether Envoy did it.
    pub(crate) fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) -> bool {
        let value = Buffer::of(value);
        self.change_header(envoy_dynamic_module_callback_http_set_header, map, name, value)
    }

    /// Adds a line of this name. Returns whether Envoy did it.
    pub(crate) fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]) -> bool {
        let value = Buffer::of(value);
        self.change_header(envoy_dynamic_module_callback_http_add_header, map, name, value)
    }

    /// Removes all lines of this name from a header map. Returns `false` only if the request has no
    /// header map of this kind now, for example no trailers.
    pub(crate) fn remove_header(&mut self, map: Map, name: &[u8]) -> bool {
        // A null value removes the header.
        self.change_header(envoy_dynamic_module_callback_http_set_header, map, name, Buffer::NONE)
    }

    fn change_header(
        &mut self,
        function: ChangeHeader,
        map: Map,
        name: &[u8],
        value: Buffer,
    ) -> bool {
        // SAFETY: Envoy's object is alive, and name and value live for the length of the call.
        unsafe { function(self.envoy, map as u32, Buffer::of(name), value) }
    }

    /// Sends a local reply, for [`local_reply::send`](crate::local_reply::send).
    pub(crate) fn respond(
        &mut self,
        status: u16,
        details: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        let mut lines: Vec<_> = headers.iter().map(HeaderLine::of).collect();
        // SAFETY: Envoy's object is alive, and everything else lives for the length of the call.
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.envoy,
                status.into(),
                lines.as_mut_ptr(),
                lines.len(),
                Buffer::of(body.as_bytes()),
                Buffer::of(details.as_bytes()),
            );
        }
    }

    /// Passes the request to the application, after [`HookStatus::Stop`].
    pub(crate) fn continue_request(&mut self) {
        // SAFETY: Envoy's object is alive while the hook runs.
        unsafe { envoy_dynamic_module_callback_http_filter_continue_decoding(self.envoy) }
    }

    /// Passes the response to the client, after [`HookStatus::Stop`].
    pub(crate) fn continue_response(&mut self) {
        // SAFETY: Envoy's object is alive while the hook runs.
        unsafe { envoy_dynamic_module_callback_http_filter_continue_encoding(self.envoy) }
    }

    /// Publishes a value for other filters and the access log. Returns whether Envoy did it.
    pub(crate) fn set_filter_state(&self, key: &str, value: &[u8]) -> bool {
        // SAFETY: Envoy's object is alive, and both slices live for the length of the call.
        unsafe {
            envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.envoy,
                Buffer::of(key.as_bytes()),
                Buffer::of(value),
            )
        }
    }

    /// Sets a string in the request's dynamic metadata.
    pub(crate) fn set_metadata(&self, namespace: &str, key: &str, value: &str) {
        // SAFETY: Envoy's object is alive, and all slices live for the length of the call.
        unsafe {
            envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
                self.envoy,
                Buffer::of(namespace.as_bytes()),
                Buffer::of(key.as_bytes()),
                Buffer::of(value.as_bytes()),
            );
        }
    }

    /// Sends a call to a cluster and returns its number. Envoy delivers the response to this
    /// request's hook, under that number. Returns `None` if the call cannot be sent (no such
    /// cluster, no healthy host, circuit open).
    pub(crate) fn call(&mut self, outgoing: &Outgoing<'_>) -> Option<u64> {
        let (mut id, mut lines) = (0, outgoing.lines());
        // SAFETY: Envoy's object is alive, and everything else lives for the length of the call.
        let result = unsafe {
            envoy_dynamic_module_callback_http_filter_http_callout(
                self.envoy,
                &mut id,
                Buffer::of(outgoing.cluster.as_bytes()),
                lines.as_mut_ptr(),
                lines.len(),
                Buffer::of(outgoing.body),
                outgoing.timeout_milliseconds,
            )
        };
        (result == CALL_SENT).then_some(id)
    }

    /// Adds to a counter.
    pub(crate) fn add(&self, Metric(id): Metric, amount: u64) {
        // SAFETY: Envoy's object is alive; the metric has no labels.
        let _result = unsafe {
            envoy_dynamic_module_callback_http_filter_increment_counter(
                self.envoy,
                id,
                null_mut(),
                0,
                amount,
            )
        };
    }

    /// Returns the present value of a secret, if it has one. It may be an earlier value for a short
    /// time after a change.
    pub(crate) fn secret(&self, SecretId(id): SecretId) -> Option<Vec<u8>> {
        let mut value = Buffer::NONE;
        // SAFETY: Envoy's object is alive while the hook runs.
        let is_known = unsafe {
            envoy_dynamic_module_callback_http_filter_get_generic_secret(self.envoy, id, &mut value)
        };
        // SAFETY: Envoy keeps the value alive while the hook runs.
        is_known.then(|| unsafe { bytes(value.data, value.length) }.to_vec())
    }

    /// Creates a scheduler, which can wake this request from any thread.
    pub(crate) fn scheduler(&self) -> RequestScheduler {
        // SAFETY: Envoy's object is alive while the hook runs.
        RequestScheduler(unsafe {
            envoy_dynamic_module_callback_http_filter_scheduler_new(self.envoy)
        })
    }
}

impl ConfigurationHandle<'_> {
    /// Sends a call to a cluster and returns its number, as [`RequestHandle::call`] does. Envoy
    /// delivers the response to the configuration's hook.
    pub(crate) fn call(self, outgoing: &Outgoing<'_>) -> Option<u64> {
        let (mut id, mut lines) = (0, outgoing.lines());
        // SAFETY: Envoy's object is alive, and everything else lives for the length of the call.
        let result = unsafe {
            envoy_dynamic_module_callback_http_filter_config_http_callout(
                self.envoy,
                &mut id,
                Buffer::of(outgoing.cluster.as_bytes()),
                lines.as_mut_ptr(),
                lines.len(),
                Buffer::of(outgoing.body),
                outgoing.timeout_milliseconds,
            )
        };
        (result == CALL_SENT).then_some(id)
    }

    /// Defines a metric without labels. Works only while the configuration loads. Returns `None` if
    /// Envoy refuses.
    pub(crate) fn define(self, kind: MetricKind, name: &str) -> Option<Metric> {
        let define = match kind {
            MetricKind::Counter => envoy_dynamic_module_callback_http_filter_config_define_counter,
            MetricKind::Gauge => envoy_dynamic_module_callback_http_filter_config_define_gauge,
            MetricKind::Histogram => {
                envoy_dynamic_module_callback_http_filter_config_define_histogram
            }
        };
        let mut id = 0;
        // SAFETY: Envoy's object is alive, the name lives for the length of the call, and there are
        // no labels.
        let result =
            unsafe { define(self.envoy, Buffer::of(name.as_bytes()), null_mut(), 0, &mut id) };
        (result == METRIC_DONE).then_some(Metric(id))
    }

    /// Adds to a counter.
    pub(crate) fn add(self, Metric(id): Metric, amount: u64) {
        // SAFETY: Envoy's object is alive; the metric has no labels.
        let _result = unsafe {
            envoy_dynamic_module_callback_http_filter_config_increment_counter(
                self.envoy,
                id,
                null_mut(),
                0,
                amount,
            )
        };
    }

    /// Sets a gauge.
    pub(crate) fn set(self, Metric(id): Metric, value: u64) {
        // SAFETY: Envoy's object is alive; the metric has no labels.
        let _result = unsafe {
            envoy_dynamic_module_callback_http_filter_config_set_gauge(
                self.envoy,
                id,
                null_mut(),
                0,
                value,
            )
        };
    }

    /// Records a value in a histogram.
    pub(crate) fn record(self, Metric(id): Metric, value: u64) {
        // SAFETY: Envoy's object is alive; the metric has no labels.
        let _result = unsafe {
            envoy_dynamic_module_callback_http_filter_config_record_histogram_value(
                self.envoy,
                id,
                null_mut(),
                0,
                value,
            )
        };
    }

    /// Makes Envoy discover a secret. `source` is a `ConfigSource` as JSON, or empty for a secret of
    /// the bootstrap. Works only while the configuration loads. Returns `None` if Envoy refuses; its
    /// log tells why.
    pub(crate) fn discover(self, name: &str, source: &str) -> Option<SecretId> {
        // SAFETY: Envoy's object is alive, and both texts live for the length of the call.
        let id = unsafe {
            envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe(
                self.envoy,
                Buffer::of(name.as_bytes()),
                Buffer::of(source.as_bytes()),
            )
        };
        (id != NO_SECRET).then_some(SecretId(id))
    }

    /// Returns the present value of a secret, if it has one.
    pub(crate) fn secret(self, SecretId(id): SecretId) -> Option<Vec<u8>> {
        let mut value = Buffer::NONE;
        // SAFETY: Envoy's object is alive while the hook runs.
        let is_known = unsafe {
            envoy_dynamic_module_callback_http_filter_config_get_generic_secret(
                self.envoy, id, &mut value,
            )
        };
        // SAFETY: Envoy keeps the value alive while the hook runs.
        is_known.then(|| unsafe { bytes(value.data, value.length) }.to_vec())
    }

    /// Creates a scheduler, which can wake this configuration's main thread from any thread.
    pub(crate) fn scheduler(self) -> ConfigurationScheduler {
        // SAFETY: Envoy's object is alive while the hook runs.
        ConfigurationScheduler(unsafe {
            envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.envoy)
        })
    }
}

/// Wakes one request on its own worker. Must be dropped before its request is destroyed.
pub(crate) struct RequestScheduler(*mut c_void);

/// Wakes one configuration on the main thread. Must be dropped before its configuration is
/// destroyed.
pub(crate) struct ConfigurationScheduler(*mut c_void);

// SAFETY: Envoy allows a scheduler to be used and deleted from any thread.
unsafe impl Send for RequestScheduler {}
// SAFETY: as for `RequestScheduler`.
unsafe impl Send for ConfigurationScheduler {}

impl RequestScheduler {
    /// Makes Envoy call the request's hook with this number.
    pub(crate) fn wake(&self, event: u64) {
        // SAFETY: this object owns the scheduler until it is dropped.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_commit(self.0, event) }
    }
}

impl ConfigurationScheduler {
    /// Makes Envoy call the configuration's hook.
    pub(crate) fn wake(&self) {
        // SAFETY: this object owns the scheduler until it is dropped.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.0, 0) }
    }
}

impl Drop for RequestScheduler {
    fn drop(&mut self) {
        // SAFETY: the scheduler is not used after this.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_delete(self.0) }
    }
}

impl Drop for ConfigurationScheduler {
    fn drop(&mut self) {
        // SAFETY: the scheduler is not used after this.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0) }
    }
}

/// Writes a line to Envoy's log. Works from any thread.
pub(crate) fn write_log(level: LogLevel, message: &str) {
    // SAFETY: the text lives for the length of the call.
    unsafe { envoy_dynamic_module_callback_log(level as u32, Buffer::of(message.as_bytes())) }
}

/// Returns whether Envoy only validates its configuration (`--mode validate`). May be called on the
/// main thread only.
pub(crate) fn is_validating() -> bool {
    // SAFETY: no pointers.
    unsafe { envoy_dynamic_module_callback_is_validation_mode() }
}

impl<'a> Outgoing<'a> {
    fn lines(&self) -> Vec<HeaderLine> {
        self.headers.iter().map(HeaderLine::of).collect()
    }
}

/// Returns header lines in Envoy's memory as headers that borrow them.
///
/// # Safety
///
/// Each line points to a name and a value that do not change during `'a`.
unsafe fn borrowed<'a>(lines: &[HeaderLine]) -> Headers<'a> {
    // SAFETY: guaranteed by the caller.
    let text = |data, length| unsafe { bytes(data, length) };
    Headers::from_lines(
        lines
            .iter()
            .map(|line| (text(line.name, line.name_length), text(line.value, line.value_length))),
    )
}

/// Returns bytes in Envoy's memory as a slice, which is empty if the address is null.
///
/// # Safety
///
/// If the address is not null, it has that many readable bytes, which do not change during `'a`.
unsafe fn bytes<'a>(data: *const u8, length: usize) -> &'a [u8] {
    if data.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: guaranteed by the caller.
    unsafe { slice::from_raw_parts(data, length) }
}

// Types that Envoy and the module exchange.

#[repr(C)]
#[derive(Clone, Copy)]
struct Buffer {
    data: *const u8,
    length: usize,
}

impl Buffer {
    const NONE: Self = Self { data: null(), length: 0 };

    fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), length: bytes.len() }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct HeaderLine {
    name: *const u8,
    name_length: usize,
    value: *const u8,
    value_length: usize,
}

impl HeaderLine {
    const EMPTY: Self = Self { name: null(), name_length: 0, value: null(), value_length: 0 };

    fn of((name, value): &(&str, &str)) -> Self {
        let (name_length, value_length) = (name.len(), value.len());
        Self { name: name.as_ptr(), name_length, value: value.as_ptr(), value_length }
    }
}

/// A header map with at most this many lines is read without an allocation.
const FEW_LINES: usize = 32;

/// The status of a call to a cluster that was sent.
const CALL_SENT: u32 = 0;

/// The result of a call to a cluster that was answered.
const CALL_ANSWERED: u32 = 0;

const METRIC_DONE: u32 = 0;

/// The number that Envoy returns in place of a secret's.
const NO_SECRET: usize = 0;

impl HookStatus {
    /// Returns the status for a headers hook. `StopAllIterationAndWatermark` holds back the body,
    /// too, without buffering more than the connection's limit.
    fn of_headers(self) -> u32 {
        match self {
            Self::Continue => 0,
            Self::Stop => 4,
        }
    }

    fn of_trailers(self) -> u32 {
        match self {
            Self::Continue => 0,
            Self::Stop => 1,
        }
    }
}

type DefineMetric =
    unsafe extern "C" fn(*mut c_void, Buffer, *mut Buffer, usize, *mut usize) -> u32;
const _: DefineMetric = envoy_dynamic_module_callback_http_filter_config_define_counter;

unsafe extern "C" {
    fn envoy_dynamic_module_callback_log(level: u32, message: Buffer);

    fn envoy_dynamic_module_callback_is_validation_mode() -> bool;

    fn envoy_dynamic_module_callback_http_get_headers_size(request: *mut c_void, map: u32)
    -> usize;

    fn envoy_dynamic_module_callback_http_get_header(
        request: *mut c_void,
        map: u32,
        name: Buffer,
        value: *mut Buffer,
        index: usize,
        count: *mut usize,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_get_headers(
        request: *mut c_void,
        map: u32,
        lines: *mut HeaderLine,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_add_header(
        request: *mut c_void,
        map: u32,
        name: Buffer,
        value: Buffer,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_set_header(
        request: *mut c_void,
        map: u32,
        name: Buffer,
        value: Buffer,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_send_response(
        request: *mut c_void,
        status: u32,
        headers: *mut HeaderLine,
        headers_length: usize,
        body: Buffer,
        details: Buffer,
    );

    fn envoy_dynamic_module_callback_http_filter_get_generic_secret(
        request: *mut c_void,
        id: usize,
        value: *mut Buffer,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe(
        configuration: *mut c_void,
        name: Buffer,
        source: Buffer,
    ) -> usize;

    fn envoy_dynamic_module_callback_http_filter_config_get_generic_secret(
        configuration: *mut c_void,
        id: usize,
        value: *mut Buffer,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_filter_continue_decoding(request: *mut c_void);

    fn envoy_dynamic_module_callback_http_filter_continue_encoding(request: *mut c_void);

    fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        request: *mut c_void,
        key: Buffer,
        value: Buffer,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
        request: *mut c_void,
        namespace: Buffer,
        key: Buffer,
        value: Buffer,
    );

    fn envoy_dynamic_module_callback_http_filter_http_callout(
        request: *mut c_void,
        id: *mut u64,
        cluster: Buffer,
        headers: *mut HeaderLine,
        headers_length: usize,
        body: Buffer,
        timeout_milliseconds: u64,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_increment_counter(
        request: *mut c_void,
        id: usize,
        labels: *mut Buffer,
        labels_length: usize,
        amount: u64,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_scheduler_new(request: *mut c_void)
    -> *mut c_void;

    fn envoy_dynamic_module_callback_http_filter_scheduler_commit(
        scheduler: *mut c_void,
        event: u64,
    );

    fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void);

    fn envoy_dynamic_module_callback_http_filter_config_http_callout(
        configuration: *mut c_void,
        id: *mut u64,
        cluster: Buffer,
        headers: *mut HeaderLine,
        headers_length: usize,
        body: Buffer,
        timeout_milliseconds: u64,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        configuration: *mut c_void,
        name: Buffer,
        labels: *mut Buffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        configuration: *mut c_void,
        name: Buffer,
        labels: *mut Buffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_define_histogram(
        configuration: *mut c_void,
        name: Buffer,
        labels: *mut Buffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_increment_counter(
        configuration: *mut c_void,
        id: usize,
        labels: *mut Buffer,
        labels_length: usize,
        amount: u64,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_set_gauge(
        configuration: *mut c_void,
        id: usize,
        labels: *mut Buffer,
        labels_length: usize,
        value: u64,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_record_histogram_value(
        configuration: *mut c_void,
        id: usize,
        labels: *mut Buffer,
        labels_length: usize,
        value: u64,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(
        configuration: *mut c_void,
    ) -> *mut c_void;

    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler: *mut c_void,
        event: u64,
    );

    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);
}

// The hooks that Envoy calls. Envoy looks all of them up when it loads the module, so all must
// exist. Those at the end do nothing.

fn request<'hook>(envoy: *mut c_void) -> RequestHandle<'hook> {
    RequestHandle { envoy, hook: PhantomData }
}

/// Runs a hook of a request. If the hook panics, the request gets 503 and is not forwarded.
///
/// # Safety
///
/// `envoy` and `held` are the hook's arguments: Envoy's object, and the module's object that Envoy
/// holds.
unsafe fn guarded<T>(
    envoy: *mut c_void,
    held: *const c_void,
    otherwise: T,
    hook: impl FnOnce(&mut RequestHandle<'_>, &NativeExchange) -> T,
) -> T {
    let run = || {
        // Take one more reference while the hook runs, because a call into Envoy may end the
        // request. Every hook of a request runs on the thread that created it.
        // SAFETY: guaranteed by the caller.
        let exchange = unsafe {
            Rc::increment_strong_count(held.cast::<NativeExchange>());
            Rc::from_raw(held.cast::<NativeExchange>())
        };
        hook(&mut request(envoy), &exchange)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        hooks::panicked(&mut request(envoy));
        otherwise
    })
}

/// Runs a hook that belongs to no request. Returns `otherwise` if it panics.
fn caught<T>(otherwise: T, hook: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or(otherwise)
}

/// Returns one more reference to a configuration that Envoy holds.
///
/// # Safety
///
/// `held` is the address that the creating hook returned, and the destroying hook has not yet been
/// called.
unsafe fn loaded(held: *const c_void) -> Arc<Loaded> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        Arc::increment_strong_count(held.cast::<Loaded>());
        Arc::from_raw(held.cast::<Loaded>())
    }
}

/// Copies the response to a call. Returns `None` if there is none.
///
/// # Safety
///
/// The addresses are those of a hook's arguments.
unsafe fn answer(
    result: u32,
    headers: *const HeaderLine,
    headers_length: usize,
    chunks: *const Buffer,
    chunks_length: usize,
) -> Option<Response> {
    if result != CALL_ANSWERED || headers.is_null() || headers_length == 0 {
        return None;
    }
    // SAFETY: guaranteed by the caller.
    let headers = unsafe { borrowed(slice::from_raw_parts(headers, headers_length)) }.into_owned();
    let mut body = Vec::new();
    if !chunks.is_null() && chunks_length > 0 {
        // SAFETY: guaranteed by the caller.
        for chunk in unsafe { slice::from_raw_parts(chunks, chunks_length) } {
            // SAFETY: guaranteed by the caller.
            body.extend_from_slice(unsafe { bytes(chunk.data, chunk.length) });
        }
    }
    Some(Response { headers, body })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    caught((), log::show_panics);
    ABI_VERSION.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: *mut c_void,
    _name: Buffer,
    text: Buffer,
) -> *const c_void {
    // SAFETY: Envoy keeps the text alive for the length of the hook.
    let text = unsafe { bytes(text.data, text.length) };
    let configuration = ConfigurationHandle { envoy, hook: PhantomData };
    caught(None, || hooks::configure(configuration, text))
        .map_or(null(), |it| Arc::into_raw(it).cast())
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(held: *const c_void) {
    // SAFETY: Envoy passes the address that it received from the creating hook, and does so once.
    caught((), || hooks::unload(unsafe { Arc::from_raw(held.cast::<Loaded>()) }));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    envoy: *mut c_void,
    held: *const c_void,
    _event: u64,
) {
    let configuration = ConfigurationHandle { envoy, hook: PhantomData };
    // SAFETY: Envoy still holds the configuration.
    caught((), || hooks::tick(configuration, &unsafe { loaded(held) }));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    envoy: *mut c_void,
    held: *const c_void,
    id: u64,
    result: u32,
    headers: *const HeaderLine,
    headers_length: usize,
    chunks: *const Buffer,
    chunks_length: usize,
) {
    let configuration = ConfigurationHandle { envoy, hook: PhantomData };
    caught((), || {
        // SAFETY: these are the hook's arguments.
        let answer = unsafe { answer(result, headers, headers_length, chunks, chunks_length) };
        // SAFETY: Envoy still holds the configuration.
        hooks::answered(configuration, &unsafe { loaded(held) }, id, answer);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    held: *const c_void,
    _envoy: *mut c_void,
) -> *const c_void {
    // SAFETY: Envoy still holds the configuration.
    caught(None, || hooks::begin(&unsafe { loaded(held) }))
        .map_or(null(), |it| Rc::into_raw(it).cast())
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(held: *const c_void) {
    // SAFETY: Envoy passes the address that it received from `begin`, once and on the same thread.
    caught((), || hooks::end(unsafe { Rc::from_raw(held.cast::<NativeExchange>()) }));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: *mut c_void,
    held: *const c_void,
    _end: bool,
) -> u32 {
    // SAFETY: these are the arguments.
    unsafe { guarded(envoy, held, HookStatus::Stop, hooks::request_headers) }.of_headers()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    envoy: *mut c_void,
    held: *const c_void,
) -> u32 {
    // SAFETY: these are the arguments.
    unsafe { guarded(envoy, held, HookStatus::Stop, hooks::request_trailers) }.of_trailers()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    envoy: *mut c_void,
    held: *const c_void,
    _end: bool,
) -> u32 {
    // SAFETY: these are the arguments.
    unsafe { guarded(envoy, held, HookStatus::Stop, hooks::response_headers) }.of_headers()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    envoy: *mut c_void,
    held: *const c_void,
    id: u64,
    result: u32,
    headers: *const HeaderLine,
    headers_length: usize,
    chunks: *const Buffer,
    chunks_length: usize,
) {
    // SAFETY: these are the arguments.
    unsafe {
        guarded(envoy, held, (), |request, exchange| {
            let answer = answer(result, headers, headers_length, chunks, chunks_length);
            hooks::called(request, exchange, id, answer);
        });
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    envoy: *mut c_void,
    held: *const c_void,
    event: u64,
) {
    // SAFETY: these are the arguments.
    unsafe { guarded(envoy, held, (), |it, exchange| hooks::woken(it, exchange, event)) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    _envoy: *mut c_void,
    _held: *const c_void,
    _end: bool,
) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _envoy: *mut c_void,
    _held: *const c_void,
    _end: bool,
) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _envoy: *mut c_void,
    _held: *const c_void,
) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _envoy: *mut c_void,
    _held: *const c_void,
    _status: u32,
    _details: Buffer,
    _is_reset: bool,
) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _envoy: *mut c_void,
    _held: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _envoy: *mut c_void,
    _held: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _envoy: *mut c_void,
    _held: *const c_void,
) {
}

/// Refuses settings of a route, because this filter has none.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Buffer,
    _text: Buffer,
) -> *const c_void {
    null()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(_held: *const c_void) {}

// Hooks for streamed responses, which never come: the module makes no such call.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _headers: *const HeaderLine,
    _headers_length: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _chunks: *const Buffer,
    _chunks_length: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _trailers: *const HeaderLine,
    _trailers_length: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _reason: u32,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_headers(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _headers: *const HeaderLine,
    _headers_length: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_data(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _chunks: *const Buffer,
    _chunks_length: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_trailers(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _trailers: *const HeaderLine,
    _trailers_length: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_complete(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_reset(
    _envoy: *mut c_void,
    _held: *const c_void,
    _id: u64,
    _reason: u32,
) {
}
