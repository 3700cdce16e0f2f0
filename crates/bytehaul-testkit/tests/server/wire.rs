//! A client that believes nothing: one request over a plain socket, and what came back to the last byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytehaul_testkit::Server;

/// What came back for one request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    pub(crate) took: Duration,
}

/// How the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
    /// Nothing came for half a second.
    Silence,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// `GET path` with further header lines, on a connection that is to be closed.
pub(crate) fn get(server: &Server, path: &str, headers: &[&str]) -> Reply {
    request(
        server,
        "GET",
        path,
        &[headers, &["Connection: close"]].concat(),
    )
}

/// The same with a range.
pub(crate) fn get_range(server: &Server, path: &str, range: &str) -> Reply {
    get(server, path, &[&format!("Range: bytes={range}")])
}

/// Any method, exactly these headers and `Host`.
pub(crate) fn request(server: &Server, method: &str, path: &str, headers: &[&str]) -> Reply {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let refused = write_request(&mut stream, method, path, headers).is_err();
    let mut reply = read_reply(&mut stream);
    // The reset that the write was told of is not told again to the read.
    if refused && reply.end == End::Fin {
        reply.end = End::Reset;
    }
    reply
}

pub(crate) fn write_request(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    headers: &[&str],
) -> io::Result<()> {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n");
    stream.write_all(head.as_bytes())
}

/// Reads until the connection ends or falls silent, then takes the answer apart.
pub(crate) fn read_reply(stream: &mut TcpStream) -> Reply {
    let began = Instant::now();
    let (bytes, end) = read_to_the_end(stream);
    let took = began.elapsed();
    let Some(split) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Reply {
            status: 0,
            headers: Vec::new(),
            body: bytes,
            end,
            took,
        };
    };
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|word| word.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.into(), value.into()));
    Reply {
        status: status.unwrap_or(0),
        headers: headers.collect(),
        body: bytes[split + 4..].to_vec(),
        end,
        took,
    }
}

fn read_to_the_end(stream: &mut TcpStream) -> (Vec<u8>, End) {
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut bytes = Vec::new();
    let mut block = vec![0; 64 << 10];
    loop {
        match stream.read(&mut block) {
            Ok(0) => return (bytes, End::Fin),
            Ok(size) => bytes.extend_from_slice(&block[..size]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, End::Reset),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return (bytes, End::Silence);
            }
            Err(error) => panic!("read: {error}"),
        }
    }
}
