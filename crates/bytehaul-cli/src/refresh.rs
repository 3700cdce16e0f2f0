//! A program of the user's that gives another URL, other headers or another plan when those that a transfer has run out.

use std::process::Stdio;
use std::sync::Arc;

use bytehaul::protocol::UploadPlan;
use bytehaul::{Refresh, RefreshError, RefreshReason, RefreshRequest, Refreshed, refresh_fn};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// Runs `program` by the shell whenever it is asked, with the URL as it was typed in `BYTEHAUL_URL` and why in
/// `BYTEHAUL_REASON`.
pub(crate) fn command(program: String, url: String) -> Arc<dyn Refresh> {
    Arc::new(refresh_fn(move |request: RefreshRequest| {
        let (program, url) = (program.clone(), url.clone());
        async move { run(&program, &url, request.reason).await }
    }))
}

/// Runs `program` in the same way for the whole plan of an upload, with where that goes in `BYTEHAUL_URL`.
pub(crate) async fn plan(program: &str, url: &str) -> Result<UploadPlan, RefreshError> {
    let text = said(program, url, EXPIRING, MOST_OF_A_PLAN).await?;
    // What the parser says of it may hold a signature.
    serde_json::from_slice(&text).map_err(|_| "the refresh command prints no plan".into())
}

async fn run(program: &str, url: &str, reason: RefreshReason) -> Result<Refreshed, RefreshError> {
    let reason = match reason {
        RefreshReason::Status(status) => status.as_u16().to_string(),
        // Reasons that a later library may add are no status either.
        _ => EXPIRING.to_owned(),
    };
    let text = said(program, url, &reason, MOST).await?;
    parse(&String::from_utf8_lossy(&text)).map_err(Into::into)
}

/// What a program that succeeds writes to its stdout.
async fn said(program: &str, url: &str, reason: &str, most: u64) -> Result<Vec<u8>, RefreshError> {
    let mut child = Command::new("sh")
        .args(["-c", program])
        .env("BYTEHAUL_URL", url)
        .env("BYTEHAUL_REASON", reason)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("run the refresh command: {error}"))?;
    let mut text = Vec::new();
    let stdout = child.stdout.take().expect("its output was asked for");
    stdout.take(most + 1).read_to_end(&mut text).await?;
    if text.len() as u64 > most {
        return Err(format!("the refresh command says more than {most} bytes").into());
    }
    let status = child.wait().await?;
    if !status.success() {
        return Err(format!("the refresh command failed: {status}").into());
    }
    Ok(text)
}

/// Reads lines that are a URL or a header. Nothing of them is repeated in an error: they may be secrets.
fn parse(text: &str) -> Result<Refreshed, &'static str> {
    let mut refreshed = Refreshed::new();
    let mut any = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        refreshed = match line.split_once(':') {
            // Whatever its scheme is: what is no header must not be sent as one.
            Some((_, rest)) if rest.starts_with("//") => refreshed.url(line),
            Some((name, value)) => refreshed.header(name.trim(), value.trim()),
            None => return Err("a line of the refresh command is neither a URL nor a header"),
        };
        any = true;
    }
    if any {
        Ok(refreshed)
    } else {
        Err("the refresh command says nothing")
    }
}

/// What `BYTEHAUL_REASON` says where no status does.
const EXPIRING: &str = "expiring";

/// Far more than a URL and some headers have.
const MOST: u64 = 64 * 1024;

/// Ten thousand parts with signed URLs are some of this.
const MOST_OF_A_PLAN: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_urls_and_headers() {
        let refreshed = parse("\nhttps://h/f?sig=1\n X-Key: a:b \n").unwrap();
        assert_eq!(refreshed.url.as_deref(), Some("https://h/f?sig=1"));
        assert_eq!(
            refreshed.headers,
            Some(vec![("X-Key".into(), "a:b".into())])
        );
        assert_eq!(parse("Authorization: Bearer t").unwrap().url, None);
        for url in ["HTTPS://h/f", "ftp://me:hunter2@h/f"] {
            let refreshed = parse(url).unwrap();
            assert_eq!(
                (refreshed.url.as_deref(), refreshed.headers),
                (Some(url), None)
            );
        }
        for wrong in ["", "\n \n", "hunter2"] {
            let error = parse(wrong).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
