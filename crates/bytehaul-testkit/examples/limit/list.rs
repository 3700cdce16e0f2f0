//! Many small files: every thread keeps one connection and takes the next URL of the list.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crate::wire::{Connection, Url, invalid};

pub(crate) fn fetch(list: &Path, output: Option<&Path>, connections: u64) -> io::Result<u64> {
    let text = fs::read_to_string(list)?;
    let urls = text
        .lines()
        .map(Url::parse)
        .collect::<io::Result<Vec<_>>>()?;
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let output = output.unwrap_or(Path::new("."));
    thread::scope(|scope| {
        let work = || fetch_some(&urls, &next, &bytes, output);
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    Ok(bytes.into_inner())
}

fn fetch_some(
    urls: &[Url],
    next: &AtomicUsize,
    bytes: &AtomicU64,
    output: &Path,
) -> io::Result<()> {
    let mut connection: Option<(&str, Connection)> = None;
    let mut body = Vec::new();
    while let Some(url) = urls.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut open = match connection.take() {
            Some((authority, open)) if authority == url.authority => open,
            _ => Connection::open(url)?,
        };
        open.send(&url.request("GET", None))?;
        let head = open.read_head()?;
        if head.status != 200 {
            return Err(invalid(&format!("status {} for {}", head.status, url.path)));
        }
        body.resize(usize::try_from(head.length).map_err(io::Error::other)?, 0);
        let mut filled = 0;
        while filled < body.len() {
            filled += open.read(&mut body[filled..])?;
        }
        let name = url.path.rsplit('/').next().unwrap_or_default();
        fs::write(output.join(name), &body)?;
        bytes.fetch_add(head.length, Ordering::Relaxed);
        connection = Some((&url.authority, open));
    }
    Ok(())
}
