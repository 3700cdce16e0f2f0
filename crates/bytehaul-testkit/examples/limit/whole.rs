//! One file over one connection, or over several with an equal share each.

use std::io;
use std::thread;

use sha2::{Digest, Sha256};

use crate::Arguments;
use crate::target::Target;
use crate::wire::{Connection, Url, invalid};

pub(crate) fn fetch(url: &str, arguments: &Arguments) -> io::Result<u64> {
    let url = Url::parse(url)?;
    let shares = arguments.connections.max(1);
    let buffer = arguments.buffer;
    let mut first = Connection::open(&url)?;
    let (len, target) = if shares == 1 {
        first.send(&url.request("GET", None))?;
        let len = length(&mut first, 200)?;
        let target = open(arguments, len)?;
        let share = Share {
            start: 0,
            end: len,
            buffer,
        };
        if arguments.sha256 {
            let mut hash = Sha256::new();
            share.receive(&mut first, &target, |bytes| hash.update(bytes))?;
            println!(
                "{}",
                hash.finalize()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            );
        } else {
            share.receive(&mut first, &target, |_| ())?;
        }
        (len, target)
    } else {
        first.send(&url.request("HEAD", None))?;
        let len = length(&mut first, 200)?;
        let target = open(arguments, len)?;
        in_shares(&url, first, &target, len, shares, buffer)?;
        (len, target)
    };
    if arguments.sync {
        target.sync()?;
    }
    Ok(len)
}

/// A contiguous part of the file, and how much of it is received before it is written.
#[derive(Clone, Copy, Debug)]
struct Share {
    start: u64,
    end: u64,
    buffer: usize,
}

impl Share {
    /// Receives into one buffer until it is full, then writes it in one piece.
    fn receive(
        &self,
        connection: &mut Connection,
        target: &Target,
        mut seen: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut buffer = vec![0; self.buffer];
        let mut offset = self.start;
        while offset < self.end {
            let left = self.end - offset;
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let mut filled = 0;
            while filled < wanted {
                filled += connection.read(&mut buffer[filled..wanted])?;
            }
            target.write(&buffer[..filled], offset)?;
            seen(&buffer[..filled]);
            offset += filled as u64;
        }
        Ok(())
    }
}

fn in_shares(
    url: &Url,
    first: Connection,
    target: &Target,
    len: u64,
    shares: u64,
    buffer: usize,
) -> io::Result<()> {
    let mut first = Some(first);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..shares)
            .map(|number| {
                let share = Share {
                    start: len * number / shares,
                    end: len * (number + 1) / shares,
                    buffer,
                };
                let connection = first.take();
                scope.spawn(move || {
                    let mut connection = connection.map_or_else(|| Connection::open(url), Ok)?;
                    connection.send(&url.request("GET", Some((share.start, share.end))))?;
                    if length(&mut connection, 206)? != share.end - share.start {
                        return Err(invalid("a range of another length than asked for"));
                    }
                    share.receive(&mut connection, target, |_| ())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no share panics"))
    })
}

fn open(arguments: &Arguments, len: u64) -> io::Result<Target> {
    match &arguments.output {
        Some(path) if !arguments.null => Target::create(path, len),
        _ => Ok(Target::Nowhere),
    }
}

fn length(connection: &mut Connection, status: u16) -> io::Result<u64> {
    let head = connection.read_head()?;
    if head.status == status {
        Ok(head.length)
    } else {
        Err(invalid(&format!("status {}", head.status)))
    }
}
