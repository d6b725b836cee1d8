//! Names as YACE, the exporter most people have, gives them: `AWS/EC2`, `CPUUtilization`, `Average` is
//! `aws_ec2_cpuutilization_average`, so that dashboards and rules written for it go on working.

/// The metric's name in Prometheus.
pub(super) fn metric_name(namespace: &str, metric: &str, statistic: &str) -> String {
    let namespace = snake(&namespace.strip_prefix('/').unwrap_or(namespace).to_lowercase());
    let metric = snake(metric);
    // Metrics of some namespaces repeat it: those of `Glue` all start with `glue.`.
    let mut rest = metric.as_str();
    for part in namespace.split('_').filter(|part| !part.is_empty()) {
        if rest.starts_with(part) {
            rest = &metric[part.len()..];
        }
    }
    let rest = rest.strip_prefix('_').unwrap_or(rest);
    let prefix = if namespace.starts_with("aws") { "" } else { "aws_" };
    format!("{prefix}{namespace}_{rest}_{}", snake(statistic).trim_end_matches('_'))
}

/// `NetworkIn` is `network_in`; a character that no name may have is `_`.
fn snake(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in text.chars() {
        if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            out.push('_');
        }
        match c {
            '%' => out.push_str("_percent"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c.to_ascii_lowercase()),
            _ => out.push('_'),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(namespace: &str, metric: &str, statistic: &str, expected: &str) {
        assert_eq!(metric_name(namespace, metric, statistic), expected);
    }

    /// The first four are the cases of YACE's own test of its names.
    #[test]
    fn names_are_those_of_the_exporter() {
        check(
            "AWS/ElastiCache",
            "CPUUtilization",
            "Average",
            "aws_elasticache_cpuutilization_average",
        );
        check(
            "/aws/sagemaker/TrainingJobs",
            "CPUUtilization",
            "Average",
            "aws_sagemaker_trainingjobs_cpuutilization_average",
        );
        check(
            "Glue",
            "glue.driver.aggregate.bytesRead",
            "Average",
            "aws_glue_driver_aggregate_bytes_read_average",
        );
        check(
            "Glue",
            "aggregate.glue.jobs.bytesRead",
            "Average",
            "aws_glue_aggregate_glue_jobs_bytes_read_average",
        );
        check("AWS/EC2", "NetworkIn", "SampleCount", "aws_ec2_network_in_sample_count");
        check(
            "AWS/ApplicationELB",
            "HTTPCode_Target_5XX_Count",
            "Sum",
            "aws_applicationelb_httpcode_target_5_xx_count_sum",
        );
        check("AWS/Lambda", "Duration", "p99.9", "aws_lambda_duration_p99_9");
        check(
            "AWS/Lambda",
            "Duration",
            "TM(25%:75%)",
            "aws_lambda_duration_tm_25_percent_75_percent",
        );
        check("my app", "Größe (kB)", "Maximum", "aws_my_app_gr__e__k_b__maximum");
    }
}
