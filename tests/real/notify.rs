//! People are told: an alert of another system becomes an incident, and it goes out over a topic of Amazon SNS (moto plays it) and by
//! mail through a real mail server. The sender of the alert, the topic's subscriber and the server know nothing of Halo.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tests::halo::Halo;
use tests::process::{self, Process};
use wire::IncidentId;
use wire::query::{Query, Reply};

use crate::aws::{Aws, WAIT};

/// aiosmtpd, which puts each mail into a folder.
async fn mail_server(aws: &Aws, folder: &Path) -> Result<(Process, String)> {
    let address = process::free_address()?;
    let mut command = Command::new(aws.python());
    command
        .args([
            "-m",
            "aiosmtpd",
            "-n",
            "-l",
            &address,
            "-c",
            "aiosmtpd.handlers.Mailbox",
        ])
        .arg(folder.join("mail"));
    let server = Process::start("aiosmtpd", &mut command, folder)?;
    process::wait_for("the mail server listens", WAIT, || async {
        Ok(tokio::net::TcpStream::connect(&address).await.ok().map(|_| ()))
    })
    .await
    .with_context(|| server.tail())?;
    Ok((server, address))
}

/// The mails that came, decoded.
fn mails(aws: &Aws, folder: &Path) -> Result<Vec<String>> {
    let program = "import mailbox, sys\n\
        from email import policy\n\
        from email.parser import BytesParser\n\
        for key, m in sorted(mailbox.Maildir(sys.argv[1], create=False).items()):\n\
        \x20   m = BytesParser(policy=policy.default).parsebytes(m.as_bytes())\n\
        \x20   print(m['Subject'], '|', m['From'], '|', m['To'], '|', m['References'], '|', ' '.join(m.get_content().split()))\n";
    let output = Command::new(aws.python())
        .args(["-c", program])
        .arg(folder.join("mail"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

async fn alert(halo: &Halo, ends_at: Option<&str>) -> Result<()> {
    let mut alert = serde_json::json!({
        "labels": {"alertname": "TooManyErrors", "service": "checkout", "severity": "critical"},
        "annotations": {"summary": "one in ten fails"},
    });
    if let Some(at) = ends_at {
        alert["endsAt"] = at.into();
    }
    let answer = reqwest::Client::new()
        .post(halo.url("/api/v2/alerts"))
        .json(&[alert])
        .send()
        .await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_is_told_over_sns_and_by_mail() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(aws) = Aws::start(folder.path()).await? else {
        return Ok(());
    };
    let topic = "arn:aws:sns:us-east-1:123456789012:halo";
    aws.boto(
        "aws('sns').create_topic(Name='halo')\n\
         queue = aws('sqs').create_queue(QueueName='q')['QueueUrl']\n\
         aws('sns').subscribe(TopicArn=sys.argv[1], Protocol='sqs', Endpoint='arn:aws:sqs:us-east-1:123456789012:q')\n",
        &[topic],
    )?;
    let (server, mail) = mail_server(&aws, folder.path()).await?;
    let keys = folder.path().join("credentials");
    fs::write(&keys, "[default]\naws_access_key_id=x\naws_secret_access_key=x\n")?;
    let config = folder.path().join("halo.toml");
    fs::write(
        &config,
        format!(
            "[host]\nenabled = false\n[notify]\nlink_base = \"https://halo.example\"\nwait_secs = 1\nresolve_wait_secs = 1\n\
             [[notify.channel]]\nname = \"topic\"\nkind = \"sns\"\ntopic = \"{topic}\"\nendpoint = \"http://{}/\"\n\
             credentials_file = \"{}\"\n\
             [[notify.channel]]\nname = \"mail\"\nkind = \"email\"\nserver = \"{mail}\"\ntls = \"off\"\n\
             from = \"Halo <halo@example.com>\"\nto = [\"sre@example.com\"]\n\
             [[notify.team]]\nname = \"shop\"\nentities = [\"checkout\"]\n\
             [[notify.route]]\nteam = \"shop\"\nto = [\"topic\", \"mail\"]\n",
            aws.address(),
            keys.display()
        ),
    )?;
    let halo = Halo::serve_configured(&folder.path().join("data"), folder.path(), &config).await?;
    alert(&halo, None).await?;

    let mails_now = || mails(&aws, folder.path());
    let first = process::wait_for("the first mail", WAIT, || async { Ok(mails_now()?.into_iter().next()) })
        .await
        .with_context(|| format!("{}\n{}", server.tail(), halo.process.tail()))?;
    for part in [
        "| Halo <halo@example.com> | sre@example.com |",
        "checkout",
        "https://halo.example/incidents/INC-000001",
    ] {
        ensure!(first.contains(part), "{part} is not in {first}");
    }
    // The topic's subscriber has it, with what filters may look at.
    aws.boto(
        "queue = aws('sqs').get_queue_url(QueueName='q')['QueueUrl']\n\
         deadline = time.monotonic() + 60\n\
         found = []\n\
         while not found and time.monotonic() < deadline:\n\
         \x20   found = aws('sqs').receive_message(QueueUrl=queue, WaitTimeSeconds=5).get('Messages', [])\n\
         body = json.loads(found[0]['Body'])\n\
         assert 'checkout' in body['Subject'], body\n\
         assert 'https://halo.example/incidents/INC-000001' in body['Message'], body\n\
         assert body['MessageAttributes']['occasion']['Value'] == 'opened', body\n\
         assert body['MessageAttributes']['incident']['Value'] == 'INC-000001', body\n",
        &[],
    )?;

    // A person says that it is over: everybody who was told hears of it, in the same thread.
    let resolve = serde_json::json!({"command": "resolve", "incident": "INC-000001"});
    let answer = reqwest::Client::new()
        .post(halo.url("/api/command"))
        .json(&resolve)
        .send()
        .await?;
    ensure!(answer.status().is_success(), "{}", answer.text().await?);
    let second = process::wait_for("the second mail", WAIT, || async {
        Ok(mails_now()?.into_iter().nth(1))
    })
    .await
    .with_context(|| halo.process.tail())?;
    let thread = |mail: &str| mail.split(" | ").nth(3).map(str::to_owned);
    let incident = IncidentId::from("INC-000001");
    let Reply::Notifications(told) = halo.query(&Query::Notifications { incident }).await? else {
        anyhow::bail!("another answer");
    };
    ensure!(
        second.contains("resolved:") && thread(&first) == thread(&second),
        "{first}\n{second}\n{told:?}\n{}",
        server.tail()
    );

    ensure!(told.summary == "Told to mail, topic", "{told:?}");
    ensure!(
        told.decisions
            .iter()
            .any(|d| d.text.contains("route 1 leads to mail, topic")),
        "{told:?}"
    );
    Ok(())
}
