//! Uploads: the file in one `PUT`, in one request of tus, or in parts over several connections.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::wire::{Connection, Url, invalid};

/// The whole file to this URL.
pub(crate) fn put(file: &Path, url: &str) -> io::Result<u64> {
    let url = Url::parse(url)?;
    let file = File::open(file)?;
    let len = file.metadata()?.len();
    let mut connection = Connection::open(&url)?;
    send(&mut connection, &url, "PUT", "", &file, 0..len)?;
    Ok(len)
}

/// The whole file by tus 1.0.0: an upload is created at this URL, and then everything sent in one request.
pub(crate) fn tus(file: &Path, creation: &str) -> io::Result<u64> {
    let url = Url::parse(creation)?;
    let file = File::open(file)?;
    let len = file.metadata()?.len();
    let mut connection = Connection::open(&url)?;
    let fields = format!("Tus-Resumable: 1.0.0\r\nUpload-Length: {len}\r\n");
    let location = send(&mut connection, &url, "POST", &fields, &file, 0..0)?;
    let location = location.ok_or_else(|| invalid("no location"))?;
    let upload = Url {
        path: match location.starts_with('/') {
            true => location,
            false => Url::parse(&location)?.path,
        },
        ..url
    };
    // What the first one carries behind its answer is nobody's business.
    let mut connection = Connection::open(&upload)?;
    let fields = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n";
    send(&mut connection, &upload, "PATCH", fields, &file, 0..len)?;
    Ok(len)
}

/// Parts of the file, by a list with offset, length and URL of one in each line.
pub(crate) fn parts(file: &Path, list: &Path, connections: u64) -> io::Result<u64> {
    let file = File::open(file)?;
    let text = fs::read_to_string(list)?;
    let parts = text.lines().map(part).collect::<io::Result<Vec<_>>>()?;
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let work = || send_some(&file, &parts, &next);
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    Ok(parts.iter().map(|(range, _)| range.end - range.start).sum())
}

fn send_some(file: &File, parts: &[(Range<u64>, Url)], next: &AtomicUsize) -> io::Result<()> {
    let mut open: Option<Connection> = None;
    while let Some((range, url)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut connection = open.take().map_or_else(|| Connection::open(url), Ok)?;
        send(&mut connection, url, "PUT", "", file, range.clone())?;
        open = Some(connection);
    }
    Ok(())
}

fn part(line: &str) -> io::Result<(Range<u64>, Url)> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let range = number()
        .zip(number())
        .map(|(offset, len)| offset..offset + len);
    let range = range.ok_or_else(|| invalid("a part without offset and length"))?;
    Ok((range, Url::parse(words.next().unwrap_or_default())?))
}

/// One request with this range of the file; the `Location` of the answer.
fn send(
    connection: &mut Connection,
    url: &Url,
    method: &str,
    fields: &str,
    file: &File,
    range: Range<u64>,
) -> io::Result<Option<String>> {
    let Url { authority, path } = url;
    let len = range.end - range.start;
    connection.send(&format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {len}\r\n{fields}\r\n"
    ))?;
    let mut buffer = vec![0; BUFFER];
    let mut offset = range.start;
    while offset < range.end {
        let left = range.end - offset;
        let wanted = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        let size = file.read_at(&mut buffer[..wanted], offset)?;
        if size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        connection.send_bytes(&buffer[..size])?;
        offset += size as u64;
    }
    let answer = connection.answer()?;
    if !(200..300).contains(&answer.status) {
        return Err(invalid(&format!("status {} for {path}", answer.status)));
    }
    Ok(answer.location)
}

/// Bytes read and written at a time.
const BUFFER: usize = 64 << 10;
