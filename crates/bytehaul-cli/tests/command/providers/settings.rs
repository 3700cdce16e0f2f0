//! Where credentials and endpoints come from: variables, and the files of the providers' own tools.

use std::fs;

use bytehaul_testkit::uploads::{Azurite, Fault, OssServer, OssSetup, S3Server, Sas};

use super::{Counter, Shop};
use crate::command::put::content;
use crate::command::support::check_failure;

/// The variables, as they are or changed.
type Variables = Vec<(&'static str, String)>;

/// Puts `f.bin`, and gets it again, with nothing but these variables.
#[track_caller]
fn goes_up_and_down(counter: &Counter, variables: &Variables, key: &str, more: &[&str]) {
    let url = counter.shop.url(key);
    let bytes = content(2000);
    counter.write("f.bin", &bytes);
    for words in [
        ["put", "-q", "f.bin", &url],
        ["get", "-q", "--overwrite", &url],
    ] {
        let mut words = [&words[..], more].concat();
        if words[0] == "get" {
            words.extend(["-o", "g.bin"]);
        }
        let finished = counter.command_with(variables, &words).run().unwrap();
        assert_eq!(finished.code(), Some(0), "{words:?}: {}", finished.err());
    }
    assert!(counter.shop.object(key).as_ref() == Some(&bytes));
    assert!(counter.read("g.bin") == bytes);
}

fn without(variables: Variables, names: &[&str]) -> Variables {
    let mut variables = variables;
    variables.retain(|(name, _)| !names.contains(name));
    variables
}

#[test]
fn profiles_of_aws() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let endpoint = server.url();
    let counter = Counter::new(Shop::S3(server));
    fs::create_dir(counter.path(".aws")).unwrap();
    let (key, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    counter.write(
        ".aws/credentials",
        format!(
            "# mine\n[default]\naws_access_key_id = AKOTHER\naws_secret_access_key = other\n\n\
             [work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        )
        .as_bytes(),
    );
    counter.write(
        ".aws/config",
        format!(
            "[default]\nregion = eu-west-1\nendpoint_url = {endpoint}\n\
             [profile work]\nregion = eu-central-1\nendpoint_url = {endpoint}\n"
        )
        .as_bytes(),
    );
    let work = vec![("AWS_PROFILE", "work".to_owned())];
    goes_up_and_down(&counter, &work, "by profile", &[]);
    let region = |name: &str| {
        let requests = counter.shop.gate().requests();
        let scope = requests.last().unwrap().header("authorization");
        scope.unwrap().contains(&format!("/{name}/s3/aws4_request"))
    };
    assert!(region("eu-central-1"));
    let url = counter.shop.url("f");
    let put = ["put", "-q", "f.bin", &url];
    // The default profile has other keys, and a profile that is not there has none.
    let refused = counter.command_with(&[], &put).run().unwrap();
    check_failure(&refused, 4, &["403"]);
    assert!(region("eu-west-1"));
    let missing = vec![("AWS_PROFILE", "none".to_owned())];
    let refused = counter.command_with(&missing, &put).run().unwrap();
    check_failure(&refused, 2, &["AWS_ACCESS_KEY_ID"]);
    // Files elsewhere, and variables win over them.
    fs::rename(counter.path(".aws"), counter.path("aws")).unwrap();
    let at = |name: &str| counter.path(name).to_str().unwrap().to_owned();
    let mut elsewhere = work;
    elsewhere.push(("AWS_SHARED_CREDENTIALS_FILE", at("aws/credentials")));
    elsewhere.push(("AWS_CONFIG_FILE", at("aws/config")));
    elsewhere.push(("AWS_REGION", "ap-south-1".to_owned()));
    goes_up_and_down(&counter, &elsewhere, "by variables", &[]);
    assert!(region("ap-south-1"));
}

/// The token goes along, signed. SeaweedFS knows none that anybody could give it, and says so.
#[test]
fn session_tokens_of_aws() {
    let Some(counter) = Shop::s3().map(Counter::new) else {
        return;
    };
    counter.write("f.bin", b"f");
    let mut variables = counter.shop.variables(S3Server::SECRET_KEY);
    variables.push(("AWS_SESSION_TOKEN", "to/ken+=".to_owned()));
    let url = counter.shop.url("f");
    let words = ["put", "-q", "f.bin", &url];
    let refused = counter.command_with(&variables, &words).run().unwrap();
    check_failure(&refused, 4, &["403"]);
    assert!(!refused.err().contains("to/ken"), "{}", refused.err());
    let requests = counter.shop.gate().requests();
    let last = requests.last().unwrap();
    assert_eq!(last.header("x-amz-security-token"), Some("to/ken+="));
    let signed = last.header("authorization").unwrap();
    assert!(signed.contains(";x-amz-security-token"), "{signed}");
    let words = ["presign", &url];
    let signed = counter.command_with(&variables, &words).run().unwrap();
    assert!(signed.out().contains("X-Amz-Security-Token=to%2Fken%2B%3D"));
}

/// As Amazon says it: of a request signed for another region, and of one that went to another region's host.
#[test]
fn a_bucket_of_s3_in_another_region() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let signed =
        "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
    let moved = "<Error><Code>PermanentRedirect</Code></Error>";
    let header = "x-amz-bucket-region";
    let elsewhere = [
        Fault::replace(400, signed),
        Fault::replace(301, moved).header(header, "eu-west-3"),
    ];
    let counter = Counter::new(Shop::S3(server));
    let (shop, gate) = (&counter.shop, counter.shop.gate());
    counter.write("f.bin", &content(2000));
    let url = shop.url("f");
    let words = [
        (
            vec!["put", "-q", "--no-resume", "f.bin", &url],
            "is in eu-west-3",
        ),
        (
            vec!["get", "-q", "--overwrite", "-o", "g.bin", &url],
            "the region",
        ),
    ];
    for (fault, (words, told)) in elsewhere
        .iter()
        .flat_map(|one| words.iter().map(move |words| (one, words)))
    {
        gate.forget();
        gate.set([fault.clone()]);
        counter.works(words);
        let requests = gate.requests();
        let regions = requests
            .iter()
            .filter_map(|one| one.header("authorization"));
        let regions = regions.map(|scope| scope.split('/').nth(2).unwrap());
        let regions: Vec<_> = regions.collect();
        assert_eq!(regions[0], "us-east-1", "{words:?}");
        assert!(
            regions[1..].iter().all(|region| *region == "eu-west-3"),
            "{regions:?}"
        );
        // Who is sent from one to another again does not follow for ever.
        gate.set([fault.clone().always()]);
        check_failure(&counter.command(words).run().unwrap(), 4, &[told]);
    }
    assert!(counter.read("g.bin") == content(2000));
    // A plan is for those who cannot follow: the region is to be named.
    let plan = ["presign", "--plan", "--size", "20M", &url];
    for fault in elsewhere {
        gate.set([fault]);
        let refused = counter.command(&plan).run().unwrap();
        check_failure(&refused, 4, &["is in eu-west-3", "hint: "]);
    }
}

#[test]
fn buckets_of_s3_in_the_host() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let port = server.gate().port();
    let counter = Counter::new(Shop::S3(server));
    let names = ["AWS_ENDPOINT_URL"];
    let variables = counter.shop.variables(S3Server::SECRET_KEY);
    let mut variables = without(variables, &names);
    variables.push((names[0], format!("http://s3.test:{port}")));
    let resolve = format!("{}.s3.test:127.0.0.1", S3Server::BUCKET);
    let more = ["--virtual-host", "--resolve", &resolve];
    goes_up_and_down(&counter, &variables, "dir/a b", &more);
    let requests = counter.shop.gate().requests();
    let last = requests.last().unwrap();
    assert_eq!(last.path(), "/dir/a%20b");
    let host = format!("{}.s3.test:{port}", S3Server::BUCKET);
    assert_eq!(last.header("host"), Some(host.as_str()));
    let words = ["presign", "--virtual-host", &counter.shop.url("k")];
    let signed = counter.command_with(&variables, &words).run().unwrap();
    assert!(signed.out().starts_with(&format!("http://{host}/k?")));
}

#[test]
fn connection_strings_of_azure() {
    let Some(counter) = Shop::azure().map(Counter::new) else {
        return;
    };
    let Shop::Azure(server) = &counter.shop else {
        unreachable!("it is that of Azure")
    };
    let endpoint = format!("{}/{}", server.gate().url(""), Azurite::ACCOUNT);
    let string = |what: &str| {
        let account = Azurite::ACCOUNT;
        vec![(
            "AZURE_STORAGE_CONNECTION_STRING",
            format!("AccountName={account};BlobEndpoint={endpoint};{what}"),
        )]
    };
    let key = format!("AccountKey={}", Azurite::KEY);
    goes_up_and_down(&counter, &string(&key), "by string", &[]);
    let sas = server.sas("by-sas", Sas::new("rcw"));
    let by_sas = string(&format!("SharedAccessSignature={sas}"));
    goes_up_and_down(&counter, &by_sas, "by-sas", &[]);
    // It is the SAS of that blob alone.
    let words = ["put", "-q", "f.bin", &counter.shop.url("another")];
    let refused = counter.command_with(&by_sas, &words).run().unwrap();
    check_failure(&refused, 4, &["403"]);
    let by_token = vec![
        ("AZURE_STORAGE_SERVICE_ENDPOINT", endpoint.clone()),
        ("AZURE_STORAGE_SAS_TOKEN", format!("?{sas}")),
    ];
    goes_up_and_down(&counter, &by_token, "by-sas", &[]);
    // It signs no other, and is not handed on itself.
    let url = counter.shop.url("by-sas");
    for words in [
        &["presign", &url][..],
        &["presign", "--plan", "--size", "1", &url],
    ] {
        let refused = counter.command_with(&by_token, words).run().unwrap();
        assert_eq!(refused.out(), "");
        check_failure(&refused, 2, &["SAS", "AZURE_STORAGE_KEY"]);
    }
    // It is not for other hosts.
    let elsewhere = "http://127.0.0.1:1/c/b";
    let put = ["put", "-q", "--protocol", "azure", "f.bin", elsewhere];
    let refused = counter.command_with(&by_token, &put).run().unwrap();
    check_failure(&refused, 2, &["credentials", "AZURE_STORAGE_ACCOUNT"]);
    let wrong = string("AccountKey=*");
    let refused = counter.command_with(&wrong, &words).run().unwrap();
    check_failure(&refused, 2, &["base64"]);
}

#[test]
fn files_of_ossutil_and_tokens() {
    let token = "t/0+ken=";
    let Some(server) = OssServer::start_with(&OssSetup::new().token(token)) else {
        return;
    };
    let endpoint = server.url();
    let counter = Counter::new(Shop::Oss(server));
    let (key, secret) = (OssServer::ACCESS_KEY, OssServer::SECRET_KEY);
    let mut variables = counter.shop.variables(secret);
    variables.push(("OSS_SESSION_TOKEN", token.to_owned()));
    goes_up_and_down(&counter, &variables, "by token", &[]);
    let url = counter.shop.url("f");
    let put = ["put", "-q", "f.bin", &url];
    let tokenless = without(variables, &["OSS_SESSION_TOKEN"]);
    let refused = counter.command_with(&tokenless, &put).run().unwrap();
    check_failure(&refused, 4, &["403"]);
    let settings = format!(
        "[default]\naccessKeyID = LTAIother\naccessKeySecret = other\nregion = cn-hangzhou\n\
         endpoint = {endpoint}\n\n[profile work]\naccessKeyID = {key}\naccessKeySecret = {secret}\n\
         stsToken = {token}\nregion = cn-hangzhou\nendpoint = {endpoint}\n"
    );
    counter.write(".ossutilconfig", settings.as_bytes());
    let refused = counter.command_with(&[], &put).run().unwrap();
    check_failure(&refused, 4, &["403"]);
    let work = vec![("OSSUTIL_PROFILE", "work".to_owned())];
    goes_up_and_down(&counter, &work, "by profile", &[]);
    fs::rename(counter.path(".ossutilconfig"), counter.path("elsewhere")).unwrap();
    let refused = counter.command_with(&work, &put).run().unwrap();
    check_failure(&refused, 2, &["OSS_ACCESS_KEY_ID"]);
    let mut elsewhere = work;
    let file = counter.path("elsewhere").to_str().unwrap().to_owned();
    elsewhere.push(("OSSUTIL_CONFIG_FILE", file));
    goes_up_and_down(&counter, &elsewhere, "by file", &[]);
}
