//! Services of AWS, played by moto, and their own client: a metric stream's delivery by Firehose.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::halo::Halo;
use tests::process::{self, Process};

pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// moto's server.
pub(crate) struct Aws {
    _process: Process,
    address: String,
    python: PathBuf,
}

impl Aws {
    /// `None` where there is none, which is said.
    #[expect(clippy::print_stdout, reason = "who reads the output shall see what was not run")]
    pub(crate) async fn start(folder: &Path) -> Result<Option<Self>> {
        let Ok(python) = process::program("HALO_AWS_PYTHON") else {
            println!("skipped: no moto: see the output of the step `setup`");
            return Ok(None);
        };
        let address = process::free_address()?;
        let (host, port) = address.rsplit_once(':').context("an address has a port")?;
        let mut command = Command::new(&python);
        command.args(["-c", "from moto.server import main; main()", "-H", host, "-p", port]);
        let process = Process::start("moto", &mut command, folder)?;
        let url = format!("http://{address}/moto-api/");
        process::wait_for("moto answers", WAIT, || async {
            Ok(reqwest::get(&url).await?.status().is_success().then_some(()))
        })
        .await
        .with_context(|| process.tail())?;
        Ok(Some(Self {
            _process: process,
            address,
            python,
        }))
    }

    /// `host:port` of its one endpoint.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The Python that has the client, and a mail server.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// Runs a program with boto3 in it; `aws(NAME)` makes a client.
    pub(crate) fn boto(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let head = format!(
            "import boto3, datetime, json, sys, time\n\
             def aws(name):\n\
             \x20   return boto3.client(name, endpoint_url='http://{}', region_name='us-east-1',\n\
             \x20       aws_access_key_id='x', aws_secret_access_key='x')\n",
            self.address
        );
        let output = Command::new(&self.python)
            .args(["-c", &format!("{head}{program}")])
            .args(arguments)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// The series of this very name has this last value.
async fn arrives(halo: &Halo, metric: &str, expected: f64) -> Result<()> {
    process::wait_for(metric, WAIT, || async {
        let list = halo.series_list(metric).await?;
        let found = list.iter().find(|series| series.info.metric == metric);
        let Some(found) = found else { return Ok(None) };
        let value = found.last_value.context("no value")?;
        ensure!((value - expected).abs() < 1e-9, "{value} instead of {expected}");
        ensure!(found.info.entity.as_str() == "i-1", "{:?}", found.info);
        Ok(Some(()))
    })
    .await
    .with_context(|| halo.process.tail())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_firehose_delivers_of_a_metric_stream_is_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(aws) = Aws::start(folder.path()).await? else {
        return Ok(());
    };
    let halo = Halo::serve(&folder.path().join("data"), folder.path()).await?;
    // moto knows no access keys: the name in the address makes it send a header that stands for one.
    let endpoint = format!("http://any:any@{}/api/webhooks/firehose", halo.address);
    aws.boto(
        "firehose = aws('firehose')\n\
         endpoint = {'EndpointConfiguration': {'Url': sys.argv[1]},\n\
         \x20   'S3Configuration': {'RoleARN': 'arn:aws:iam::123456789012:role/x', 'BucketARN': 'arn:aws:s3:::b'}}\n\
         firehose.create_delivery_stream(DeliveryStreamName='halo', HttpEndpointDestinationConfiguration=endpoint)\n\
         def record(minute):\n\
         \x20   datum = {'metric_stream_name': 's', 'account_id': '123456789012', 'region': 'us-east-1',\n\
         \x20       'namespace': 'AWS/EC2', 'metric_name': 'CPUUtilization', 'dimensions': {'InstanceId': 'i-1'},\n\
         \x20       'timestamp': (int(time.time()) // 60 - 5 + minute) * 60000,\n\
         \x20       'value': {'count': 4, 'sum': 10.0 + minute, 'min': 1.0, 'max': 4.0, 'p99': 3.5}, 'unit': 'Percent'}\n\
         \x20   return {'Data': (json.dumps(datum) + '\\n').encode()}\n\
         firehose.put_record_batch(DeliveryStreamName='halo', Records=[record(0), record(1)])\n\
         firehose.put_record(DeliveryStreamName='halo', Record=record(2))\n",
        &[&endpoint],
    )?;
    for (statistic, value) in [
        ("average", 3.0),
        ("sum", 12.0),
        ("sample_count", 4.0),
        ("minimum", 1.0),
        ("maximum", 4.0),
        ("p99", 3.5),
    ] {
        arrives(&halo, &format!("aws_ec2_cpuutilization_{statistic}"), value).await?;
    }
    // What was counted is told once a second.
    let counted = "halo_source_samples_total{source=\"cloudwatch\"} 18\n";
    process::wait_for("every sample is counted", WAIT, || async {
        let metrics = reqwest::get(halo.url("/metrics")).await?.text().await?;
        Ok(metrics.contains(counted).then_some(()))
    })
    .await
    .with_context(|| halo.process.tail())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cloudwatch_has_is_asked_for_and_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(aws) = Aws::start(folder.path()).await? else {
        return Ok(());
    };
    // More metrics than one question and one page of a list may hold: two statistics of 600 make three questions.
    aws.boto(
        "cloudwatch = aws('cloudwatch')\n\
         now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)\n\
         def datum(name, instance, minute, value):\n\
         \x20   return {'MetricName': name, 'Dimensions': [{'Name': 'InstanceId', 'Value': instance}],\n\
         \x20       'Timestamp': now - datetime.timedelta(minutes=minute, seconds=-10), 'Value': value}\n\
         for first in range(0, 600, 100):\n\
         \x20   cloudwatch.put_metric_data(Namespace='AWS/EC2', MetricData=[\n\
         \x20       datum('NetworkIn', f'i-{n}', 4, float(n)) for n in range(first, first + 100)])\n\
         for value in (1.0, 5.0):\n\
         \x20   cloudwatch.put_metric_data(Namespace='AWS/EC2', MetricData=[datum('CPUUtilization', 'i-1', 3, value)])\n\
         cloudwatch.put_metric_data(Namespace='Other', MetricData=[datum('Ignored', 'i-1', 3, 1.0)])\n",
        &[],
    )?;
    let config = folder.path().join("halo.toml");
    let keys = folder.path().join("credentials");
    std::fs::write(&keys, "[default]\naws_access_key_id=x\naws_secret_access_key=x\n")?;
    std::fs::write(
        &config,
        format!(
            "[host]\nenabled = false\n[[cloudwatch]]\nregion = \"us-east-1\"\nendpoint = \"http://{}\"\n\
             namespaces = [\"AWS/EC2\"]\nstatistics = [\"Average\", \"Maximum\"]\ndimensions = {{ InstanceId = \"\" }}\n\
             delay_secs = 0\ncredentials_file = \"{}\"\naccount_id = \"123456789012\"\n",
            aws.address,
            keys.display()
        ),
    )?;
    let halo = Halo::serve_configured(&folder.path().join("data"), folder.path(), &config).await?;
    arrives(&halo, "aws_ec2_cpuutilization_average", 3.0).await?;
    arrives(&halo, "aws_ec2_cpuutilization_maximum", 5.0).await?;
    process::wait_for("every metric of the namespace is there", WAIT, || async {
        let list = halo.series_list("aws_ec2_network_in_average").await?;
        ensure!(list.len() == 600, "{} series", list.len());
        let found = list.iter().find(|series| series.info.entity.as_str() == "i-599");
        ensure!(found.and_then(|series| series.last_value) == Some(599.0), "{found:?}");
        Ok(Some(()))
    })
    .await
    .with_context(|| halo.process.tail())?;
    ensure!(
        halo.series_list("ignored").await?.is_empty(),
        "a namespace that nobody named"
    );
    Ok(())
}
