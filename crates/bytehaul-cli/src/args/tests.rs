//! Which lines parse, and with which defaults.

use clap::CommandFactory;

use super::*;

fn get(line: &str) -> Result<Box<GetArgs>, clap::Error> {
    let words = ["bytehaul", "get"]
        .into_iter()
        .chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| match cli.command {
        Command::Get(args) => args,
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn defaults_are_the_documented_ones() {
    let args = get("http://h/").unwrap();
    assert_eq!(args.dir, PathBuf::from("."));
    assert_eq!(args.jobs, 4);
    assert_eq!(args.connections, Connections::Auto);
    assert_eq!(args.piece_size, None);
    assert_eq!(args.min_split_size, Size(10 << 20));
    assert_eq!(args.file_allocation, Allocation::Prealloc);
    assert_eq!(args.transfer.retries, 5);
    assert_eq!(args.transfer.retry_delay.0.as_millis(), 1_000);
    assert_eq!(args.transfer.limit_rate, None);
    assert_eq!(args.network.connect_timeout.0.as_secs(), 10);
    assert_eq!(args.network.read_timeout.0.as_secs(), 30);
    assert!(!args.no_resume && !args.overwrite && !args.display.json && !args.display.quiet);
}

#[test]
fn every_option_of_the_contract_parses() {
    for line in [
        "-o a http://h/",
        "--output - http://h/",
        "-d /tmp http://h/ http://i/",
        "--dir /tmp -i list",
        "--input-file -",
        "-j 8 --jobs 2 http://h/",
        "-x auto http://h/",
        "--connections 16 http://h/",
        "--piece-size 1M --min-split-size 0 --file-allocation none http://h/",
        "--no-resume --overwrite http://h/",
        "--checksum sha-256=00 http://h/",
        "--limit-rate 500K --retries 0 --retry-delay 100ms http://h/",
        "--connect-timeout 5s --read-timeout 2m http://h/",
        "-H A:b --header C:d http://h/",
        "--proxy socks5h://u:p@h:1 --no-proxy a,b http://h/",
        "--dns-server 1.1.1.1 --dns-server [::1]:53 --no-ipv6 http://h/",
        "--cacert f --insecure --cert f --key f http://h/",
        "--mirror http://a/ --mirror http://b/ http://h/",
        "--metalink f --no-metalink",
        "--describedby http://h/",
        "--dns-server tls://1.1.1.1 --dns-server https://dns.google/dns-query http://h/",
        "--resolve h:127.0.0.1 --cacert f --cacert-only --pinned-key sha256//x http://h/",
        "--http auto --max-redirects 0 --insecure-redirects --user-agent x http://h/",
        "--netrc-file f --max-retry-after 1m http://h/",
        "--no-netrc --cert f --refresh-command x http://h/",
        "--json -q http://h/",
        "-vv http://h/",
    ] {
        let parsed = get(line);
        // `-j 8 --jobs 2` names one option twice, which is the one line here that must fail.
        assert_eq!(
            parsed.is_ok(),
            !line.contains("-j 8"),
            "{line}: {:?}",
            parsed.err()
        );
    }
}

#[test]
fn wrong_values_are_refused() {
    for line in [
        "-j 0 http://h/",
        "-j x http://h/",
        "-x 0 http://h/",
        "--piece-size 0 http://h/",
        "--min-split-size 10Q http://h/",
        "--file-allocation maybe http://h/",
        "--limit-rate fast http://h/",
        "--retries -1 http://h/",
        "--retry-delay soon http://h/",
        "--connect-timeout 0s http://h/",
        "--no-such-option http://h/",
        "-q -v http://h/",
        "--key f http://h/",
        "--cacert-only http://h/",
        "--no-netrc --netrc-file f http://h/",
        "--http 3 http://h/",
        "--describedby --no-metalink http://h/",
    ] {
        assert!(get(line).is_err(), "{line}");
    }
}

#[test]
fn put_parses_with_the_shared_options() {
    let line = "bytehaul put --protocol s3 --part-size 8M -x 4 --plan p -H A:b --json file s3://bucket/key";
    assert!(matches!(
        Cli::try_parse_from(line.split(' ')).unwrap().command,
        Command::Put(_)
    ));
}
