//! What one transfer costs with nothing around the client: `fetch URL OUT|null [connections] [buffer KiB] [CA.pem]`.
//!
//! Each connection takes an equal share of the object, collects it in one reused buffer and writes that with `pwrite`.

use std::error::Error;
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use bytehaul_transport::headers::ContentRange;
use bytehaul_transport::{Client, Framing, Request, RequestRange, Response, Tls, Url};
use bytes::{BufMut, BytesMut};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, out, rest @ ..] = arguments.as_slice() else {
        return Err("usage: fetch URL OUT|null [connections] [buffer KiB] [CA.pem]".into());
    };
    let connections = rest.first().map_or(Ok(1), |text| text.parse())?;
    let buffer = rest.get(1).map_or(Ok(1024), |text| text.parse::<usize>())? * 1024;
    let mut tls = Tls::new();
    if let Some(path) = rest.get(2) {
        tls = tls.add_roots_pem(std::fs::read(path)?);
    }
    let client = Client::builder().tls(tls).build()?;
    let out = if out == "null" {
        None
    } else {
        Some(Arc::new(File::create(out)?))
    };
    let mut runtime = match connections {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let started = Instant::now();
    let bytes = runtime.enable_all().build()?.block_on(fetch(
        client,
        Url::parse(url)?,
        out,
        connections,
        buffer,
    ))?;
    eprintln!("{bytes} bytes in {:.3} s", started.elapsed().as_secs_f64());
    Ok(())
}

async fn fetch(
    client: Client,
    url: Url,
    out: Option<Arc<File>>,
    connections: u64,
    buffer: usize,
) -> Result<u64> {
    if connections == 1 {
        let response = client.send(Request::get(url)).await?;
        if let Framing::Length(total) = response.body().framing() {
            set_length(out.as_deref(), total)?;
        }
        return receive(response, out, 0, buffer).await;
    }
    let request = Request::get(url.clone()).range(RequestRange::Span(0..1));
    let probe = client.send(request).await?;
    let Some(Ok(ContentRange::Satisfied {
        total: Some(total), ..
    })) = ContentRange::of(probe.headers())
    else {
        return Err("the server does not serve ranges".into());
    };
    set_length(out.as_deref(), total)?;
    let share = total.div_ceil(connections);
    let mut tasks = tokio::task::JoinSet::new();
    for start in (0..connections).map(|index| index * share) {
        let span = start..(start + share).min(total);
        let request = Request::get(url.clone()).range(RequestRange::Span(span));
        let (client, out) = (client.clone(), out.clone());
        tasks.spawn(async move {
            let response = client.send(request).await?;
            receive(response, out, start, buffer).await
        });
    }
    let mut received = 0;
    while let Some(share) = tasks.join_next().await {
        received += share??;
    }
    Ok(received)
}

async fn receive(
    mut response: Response,
    out: Option<Arc<File>>,
    start: u64,
    size: usize,
) -> Result<u64> {
    let body = response.body_mut();
    let mut buffer = BytesMut::with_capacity(size);
    let mut offset = start;
    loop {
        let room = size - buffer.len();
        let ended = body.read(&mut (&mut buffer).limit(room)).await? == 0;
        if ended || buffer.len() == size {
            if let Some(file) = &out {
                write_at(file, &buffer, offset)?;
            }
            offset += buffer.len() as u64;
            buffer.clear();
        }
        if ended {
            return Ok(offset - start);
        }
    }
}

/// Before the first write: growing a file write by write costs more.
fn set_length(file: Option<&File>, total: u64) -> Result<()> {
    if let Some(file) = file {
        file.set_len(total)?;
    }
    Ok(())
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
