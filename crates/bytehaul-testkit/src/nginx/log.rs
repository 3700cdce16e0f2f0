//! What nginx writes down about a request: the fields of its log, and how a line of it is read.

/// One finished request as nginx saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged {
    /// Number of the connection; it tells connections apart and says nothing else.
    pub connection: u64,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: String,
    /// The method, as sent.
    pub method: String,
    /// The request target: path and query.
    pub target: String,
    /// Status of the answer; 499 when the client left before it.
    pub status: u16,
    /// Body bytes handed to the kernel.
    pub sent: u64,
    /// Whether the connection resumed the TLS session of an earlier one.
    pub resumed: bool,
    /// Subject of the client's certificate (`CN=name`), if it showed one.
    pub client: Option<String>,
    headers: Vec<Option<String>>,
}

impl Logged {
    /// Value of a request header, if it was sent.
    ///
    /// # Panics
    /// When it is none of those that nginx was told to write down: [`Logged::HEADERS`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let column = Self::HEADERS
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
            .unwrap_or_else(|| panic!("nginx was not told to write down {name}"));
        self.headers[column].as_deref()
    }

    /// The request headers that are written down.
    pub const HEADERS: [&str; 10] = [
        "host",
        "range",
        "if-range",
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-custom",
        "referer",
        "user-agent",
        "accept-encoding",
    ];

    /// The columns, as nginx's `log_format` wants them.
    pub(super) fn format() -> String {
        let headers = Self::HEADERS.map(|name| format!("$http_{}", name.replace('-', "_")));
        [&FACTS[..], &headers.each_ref().map(String::as_str)[..]]
            .concat()
            .join("\t")
    }

    pub(super) fn parse(line: &str) -> Self {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns.len(), FACTS.len() + Self::HEADERS.len(), "{line:?}");
        let number = |column: usize| columns[column].parse().expect("nginx writes numbers");
        let there = |text: &&str| (*text != "-").then(|| (*text).to_owned());
        Self {
            connection: number(0),
            protocol: columns[1].to_owned(),
            method: columns[2].to_owned(),
            target: columns[3].to_owned(),
            status: u16::try_from(number(4)).expect("a status is small"),
            sent: number(5),
            resumed: columns[6] == "r",
            client: there(&columns[7]),
            headers: columns[FACTS.len()..].iter().map(there).collect(),
        }
    }
}

const FACTS: [&str; 8] = [
    "$connection",
    "$server_protocol",
    "$request_method",
    "$request_uri",
    "$status",
    "$body_bytes_sent",
    "$ssl_session_reused",
    "$ssl_client_s_dn",
];
