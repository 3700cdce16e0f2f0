//! Who receives from an HTTP/2 connection: its only reader, or its task when that reader stops.

use std::time::Duration;

use bytehaul_transport::Url;
use bytehaul_transport::http::Response;
use bytes::{BufMut, Bytes, BytesMut};
use h2::Ping;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::h2_server::h2_client;
use crate::server::{get, pattern, read_all};

/// More than sockets hold, and less than a stream's window.
const LENGTH: usize = 7 << 20;

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    (listener, url)
}

/// Answers one request in frames as large as the client allows, and pings the client when told to.
async fn serve_and_ping(
    stream: TcpStream,
    asked: oneshot::Receiver<()>,
    answered: oneshot::Sender<()>,
) {
    let mut connection = h2::server::Builder::new()
        .max_send_buffer_size(LENGTH)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    let mut ping = connection.ping_pong().unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(pattern(LENGTH).into(), true).unwrap();
    let pinging = async {
        asked.await.unwrap();
        ping.ping(Ping::opaque()).await.unwrap();
    };
    tokio::select! {
        () = pinging => {}
        end = connection.accept() => panic!("ended: {}", end.is_none()),
    }
    answered.send(()).unwrap();
    while connection.accept().await.is_some() {}
}

#[tokio::test]
async fn a_reader_that_stops_does_not_stop_its_connection() {
    let (listener, url) = listen().await;
    let (ask, asked) = oneshot::channel();
    let (answered, answer) = oneshot::channel();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve_and_ping(stream, asked, answered).await;
    });
    let client = h2_client();
    let mut response = get(&client, url).await.unwrap();
    let mut some = BytesMut::with_capacity(100);
    let read = response.body_mut().read(&mut (&mut some).limit(100)).await;
    assert_eq!(read.unwrap(), 100);
    ask.send(()).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(3), answer).await;
    answer.expect("the task has taken over").unwrap();
    some.extend(read_all(response.body_mut(), 1 << 20).await.unwrap());
    assert!(some == pattern(LENGTH));
}

/// Answers requests with five bytes each until the connection ends. The types of the frames that came.
async fn answer_all(mut stream: TcpStream) -> Vec<u8> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    stream
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let mut types = Vec::new();
    let mut header = [0; 9];
    while stream.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        types.push(header[3]);
        if header[3] == 1 {
            // :status 200, content-length 5, and both frames in one packet.
            let mut answer = vec![0, 0, 5, 1, 4, 0, 0, 0, 0, 0x88, 0x0f, 0x0d, 1, b'5'];
            answer.extend([0, 0, 5, 0, 1, 0, 0, 0, 0]);
            answer.extend(b"hello");
            answer[5..9].copy_from_slice(&header[5..]);
            answer[19..23].copy_from_slice(&header[5..]);
            stream.write_all(&answer).await.unwrap();
        }
    }
    types
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_dropped_after_its_end_resets_nothing() {
    let (listener, url) = listen().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer_all(stream).await
    });
    let client = h2_client();
    for _ in 0..200 {
        let mut response = get(&client, url.clone()).await.unwrap();
        assert_eq!(response.body_mut().text(5).await.unwrap(), "hello");
        drop(response);
    }
    drop(client);
    let types = server.join_next().await.unwrap().unwrap();
    assert_eq!(types.iter().filter(|&&kind| kind == 1).count(), 200);
    assert!(!types.contains(&3), "{types:?}");
}
