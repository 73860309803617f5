//! The peers: everything that is measured.

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its name in all results.
    pub(crate) name: &'static str,
    /// What a reader sees.
    pub(crate) title: &'static str,
    /// The listener that it is asked at.
    pub(crate) listener: &'static str,
    /// Whose costs are not its own.
    pub(crate) baseline: &'static str,
    /// What its requests carry.
    pub(crate) tokens: PeerTokens,
    /// Whether revocations come in meanwhile.
    pub(crate) busy: bool,
    /// When it is measured.
    pub(crate) part: BenchPart,
}

/// What requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerTokens {
    /// The same HS256 tokens in a circle, all of which fit every cache.
    Hs256,
    /// HS256 tokens that were never sent before.
    FreshHs256,
    /// The same RS256 tokens in a circle.
    Rs256,
    /// RS256 tokens in a circle of several times what the filter's cache holds.
    ManyRs256,
}

/// When a peer is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BenchPart {
    /// Always.
    Always,
    /// With `--all`.
    Extra,
    /// With `--before`.
    Before,
}

const fn peer(
    name: &'static str,
    title: &'static str,
    listener: &'static str,
    tokens: PeerTokens,
) -> Peer {
    let baseline = match tokens {
        PeerTokens::Rs256 | PeerTokens::ManyRs256 => "bare_rs256",
        _ => "bare",
    };
    Peer { name, title, listener, baseline, tokens, busy: false, part: BenchPart::Always }
}

/// Returns the peer while 1,000 revocations a second come in. It has a baseline of its own: the load
/// generator then shares its processor with the service and its writers, so it sends fewer requests,
/// and a request costs more even in a bare Envoy, which handles fewer of them at once.
const fn busy(peer: Peer) -> Peer {
    Peer { busy: true, baseline: "bare_busy", ..peer }
}

const fn extra(peer: Peer) -> Peer {
    Peer { part: BenchPart::Extra, ..peer }
}

const fn before(peer: Peer) -> Peer {
    Peer { part: BenchPart::Before, ..peer }
}

/// One call of the host, ten times: a listener of the same name.
const fn calls(name: &'static str, title: &'static str) -> Peer {
    extra(peer(name, title, name, PeerTokens::Hs256))
}

/// All peers, in the order of the table.
pub(crate) const PEERS: [Peer; 29] = {
    use PeerTokens::{FreshHs256, Hs256, ManyRs256, Rs256};
    [
        peer("bare", "bare Envoy", "bare", Hs256),
        peer("bare_rs256", "bare Envoy, RS256 token", "bare", Rs256),
        busy(peer("bare_busy", "bare Envoy, 1,000 revocations a second elsewhere", "bare", Hs256)),
        peer("empty_filter", "empty wasm filter", "empty", Hs256),
        peer("crossings", "only the crossings of a token seen before", "crossings", Hs256),
        peer("jwt_authn_hs256", "jwt_authn, HS256", "jwt_hs256", Hs256),
        peer(
            "jwt_authn_hs256_cached",
            "jwt_authn with its cache, HS256",
            "jwt_hs256_cached",
            Hs256,
        ),
        peer("jwt_authn_rs256", "jwt_authn, RS256", "jwt_rs256", ManyRs256),
        peer("ext_authz_http", "ext_authz over HTTP", "authz_http", Hs256),
        peer("ext_authz_grpc", "ext_authz over gRPC", "authz_grpc", Hs256),
        peer("warm_0", "token seen before, none revoked", "none", Hs256),
        peer("warm_1m", "token seen before, 1 million revoked", "million", Hs256),
        busy(peer("warm_1m_busy", "1 million, and 1,000 more a second", "million", Hs256)),
        peer("cold_hs256", "HS256, first sight, 1 million", "million", FreshHs256),
        peer("cold_rs256", "RS256, first sight, 1 million", "million_rs256", ManyRs256),
        peer("empty_module", "empty dynamic module", "empty_module", Hs256),
        peer(
            "module_crossings",
            "only the native crossings of a token seen before",
            "module_crossings",
            Hs256,
        ),
        peer("native_warm_1m", "native, seen before, 1 million", "native_million", Hs256),
        busy(peer(
            "native_warm_1m_busy",
            "native, 1 million, and 1,000 more a second",
            "native_million",
            Hs256,
        )),
        peer("native_cold_hs256", "native, HS256, first sight", "native_million", FreshHs256),
        peer("native_cold_rs256", "native, RS256, first sight", "native_million_rs256", ManyRs256),
        before(peer("before_warm_1m", "the other build: seen before", "before", Hs256)),
        before(peer("before_cold_hs256", "the other build: first sight", "before", FreshHs256)),
        extra(peer("warm_10m", "token seen before, 10 million revoked", "ten_million", Hs256)),
        calls("calls_headers", "empty wasm filter, 10 × all headers"),
        calls("calls_clock", "empty wasm filter, 10 × the time"),
        calls("calls_empty_value", "empty wasm filter, 10 × an empty value"),
        calls("calls_add", "empty wasm filter, 10 × a header added"),
        extra(peer(
            "crossings_of_first_sight",
            "the crossings of a first sight, and its hashes",
            "crossings_of_first_sight",
            FreshHs256,
        )),
    ]
};
