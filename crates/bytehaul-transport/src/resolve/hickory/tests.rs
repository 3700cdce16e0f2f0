//! What is read from the system, and read again when it has changed.

use std::path::Path;

use super::*;

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

fn system_at(directory: &Path) -> HickoryResolver {
    let mut resolver = HickoryResolver::system();
    resolver.files = SystemFiles::at(directory);
    resolver
}

async fn check(resolver: &HickoryResolver, name: &str, expected: &str) {
    let found = resolver.resolve(name).await.unwrap();
    assert_eq!(found, [expected.parse::<IpAddr>().unwrap()], "{name}");
}

#[tokio::test]
async fn the_hosts_file_is_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "resolv.conf", "nameserver 127.0.0.1\n");
    write(directory.path(), "hosts", "10.0.0.1 a.test\n");
    let resolver = system_at(directory.path());
    check(&resolver, "a.test", "10.0.0.1").await;
    write(directory.path(), "hosts", "10.0.0.2 a.test b.test\n");
    check(&resolver, "a.test", "10.0.0.1").await;
    forget_the_check(&resolver).await;
    check(&resolver, "a.test", "10.0.0.2").await;
    check(&resolver.clone(), "b.test", "10.0.0.2").await;
}

#[tokio::test]
async fn new_name_servers_begin_with_an_empty_cache() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "resolv.conf", "nameserver 127.0.0.1\n");
    let resolver = system_at(directory.path());
    let engine = async || resolver.state().await.unwrap().engine.unwrap();
    let first = engine().await;
    forget_the_check(&resolver).await;
    assert!(Arc::ptr_eq(&first, &engine().await), "nothing has changed");
    write(directory.path(), "resolv.conf", "nameserver 127.0.0.12\n");
    assert!(Arc::ptr_eq(&first, &engine().await), "not looked at yet");
    forget_the_check(&resolver).await;
    assert!(!Arc::ptr_eq(&first, &engine().await));
}

#[tokio::test]
async fn without_a_configuration_the_system_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let resolver = system_at(directory.path());
    let found = resolver.resolve("localhost").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    assert!(resolver.state().await.unwrap().engine.is_none());
}

#[test]
fn multicast_names_are_left_to_the_system() {
    let system = HickoryResolver::system();
    let own = HickoryResolver::with_servers(["127.0.0.1:53".parse().unwrap()]);
    assert!(system.is_for_the_system("printer.local") && system.is_for_the_system("a.local."));
    assert!(!system.is_for_the_system("local.test") && !own.is_for_the_system("printer.local"));
}

#[tokio::test]
async fn a_name_server_is_looked_up_by_the_system() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "resolv.conf", "nameserver 127.0.0.1\n");
    write(directory.path(), "hosts", "127.0.0.7 dns.test\n");
    let servers = ["tls://dns.test", "https://dns.test:444/q", "1.1.1.1"];
    let mut resolver = HickoryResolver::with_name_servers(servers.map(|one| one.parse().unwrap()));
    resolver.files = SystemFiles::at(directory.path());
    let Servers::Own(servers) = &resolver.servers else {
        unreachable!("they are our own");
    };
    let located = resolver.located(servers).await.unwrap();
    let places: Vec<String> = located
        .iter()
        .map(|(label, one)| format!("{label} {} {}", one.ip, one.connections[0].port))
        .collect();
    assert_eq!(
        places,
        [
            "tls://dns.test 127.0.0.7 853",
            "https://dns.test:444/… 127.0.0.7 444",
            "1.1.1.1 1.1.1.1 53"
        ]
    );
}

/// As if three seconds had passed.
async fn forget_the_check(resolver: &HickoryResolver) {
    let mut state = resolver.state.lock().await;
    let state = state.as_mut().unwrap();
    state.checked = state.checked.checked_sub(CHECK_INTERVAL).unwrap();
}
