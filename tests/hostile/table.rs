//! Requests with bytes that are no UTF-8: for the filter in Envoy, and for proxies that ask the service.

/// Cases of odd header lines: a name, the line, and the expected status.
pub(crate) const ODD_LINES: &[(&str, &[u8], u16)] = &[
    ("authorization", b"authorization: caf\xe9", 401),
    ("a bearer token", b"authorization: Bearer caf\xe9.\xff.\xfe", 401),
    ("a scheme", b"authorization: \xff Bearer x", 401),
    ("a cookie", b"cookie: token=\xff\xfe", 401),
    ("a cookie's name", b"cookie: \xff\xfetoken=a.b.c", 401),
    ("an escaped cookie's name", b"cookie: to%FFken=a; %=b; %6=c; token=d", 401),
    ("another cookie", b"cookie: theme=\xe9", 401),
    ("a token header", b"x-token: \xc3\x28", 401),
    ("a user", b"x-user-id: \xe9ve", 401),
    ("any header", b"x-odd: \x80\x81\xfe\xff", 401),
    ("a site", b"sec-fetch-site: cross-s\xefte", 401),
    ("a content type", b"content-type: \xff", 401),
    ("a user agent", b"user-agent: \xf0\x28\x8c\xbc", 401),
];

/// Cases of odd request heads, in the same form.
pub(crate) const ODD_HEADS: &[(&str, &[u8], u16)] = &[
    ("a path", b"GET /p\xe9ge HTTP/1.1\r\nhost: app.example.com\r\n\r\n", 400),
    ("an open path", b"GET /open/\xff HTTP/1.1\r\nhost: app.example.com\r\n\r\n", 400),
    ("an escaped path", b"GET /open/%FF%FE HTTP/1.1\r\nhost: app.example.com\r\n\r\n", 200),
    ("a query", b"GET /page?access_token=\xff HTTP/1.1\r\nhost: app.example.com\r\n\r\n", 400),
    (
        "an escaped query",
        b"GET /page?access_token=%ff%fe HTTP/1.1\r\nhost: app.example.com\r\n\r\n",
        401,
    ),
    ("a host", b"GET /page HTTP/1.1\r\nhost: \xe9.example.com\r\n\r\n", 400),
    ("no host", b"GET /page HTTP/1.1\r\n\r\n", 400),
    ("a method", b"G\xcbT /page HTTP/1.1\r\nhost: app.example.com\r\n\r\n", 400),
];
