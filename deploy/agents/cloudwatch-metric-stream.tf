# Not proven here: nothing that runs here plays the part of AWS for a metric stream. What such a stream delivers is tested against
# the documented payloads, and Firehose's delivery itself by the test `real`, with moto.
#
# Halo: [webhooks.firehose] in halo.toml with the same key, behind a TLS proxy on port 443 that passes `Host: localhost` on, since
# Firehose delivers over HTTPS alone.
#
#   terraform apply -var halo_url=https://halo.example.org/api/webhooks/firehose -var halo_access_key=...

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "halo_url" {
  description = "Halo's endpoint: https://HOST/api/webhooks/firehose"
  type        = string
}

variable "halo_access_key" {
  description = "The key of [webhooks.firehose]"
  type        = string
  sensitive   = true
}

variable "namespaces" {
  description = "What is streamed: filtering at the source costs least"
  type        = list(string)
  default     = ["AWS/EC2", "AWS/RDS", "AWS/ApplicationELB", "AWS/Lambda", "AWS/SQS", "AWS/DynamoDB"]
}

# What Halo could not take, after Firehose gave up repeating it.
resource "aws_s3_bucket" "undelivered" {
  bucket_prefix = "halo-undelivered-"
}

resource "aws_s3_bucket_lifecycle_configuration" "undelivered" {
  bucket = aws_s3_bucket.undelivered.id
  rule {
    id     = "forget"
    status = "Enabled"
    filter {}
    expiration {
      days = 14
    }
  }
}

data "aws_iam_policy_document" "firehose_assumes" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["firehose.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "firehose" {
  statement {
    actions   = ["s3:AbortMultipartUpload", "s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:PutObject"]
    resources = [aws_s3_bucket.undelivered.arn, "${aws_s3_bucket.undelivered.arn}/*"]
  }
}

resource "aws_iam_role" "firehose" {
  name_prefix        = "halo-firehose-"
  assume_role_policy = data.aws_iam_policy_document.firehose_assumes.json
}

resource "aws_iam_role_policy" "firehose" {
  role   = aws_iam_role.firehose.id
  policy = data.aws_iam_policy_document.firehose.json
}

resource "aws_kinesis_firehose_delivery_stream" "halo" {
  name        = "halo-metrics"
  destination = "http_endpoint"

  http_endpoint_configuration {
    name               = "Halo"
    url                = var.halo_url
    access_key         = var.halo_access_key
    role_arn           = aws_iam_role.firehose.arn
    buffering_interval = 60
    buffering_size     = 4
    retry_duration     = 7200
    s3_backup_mode     = "FailedDataOnly"

    request_configuration {
      content_encoding = "GZIP"
    }

    s3_configuration {
      role_arn   = aws_iam_role.firehose.arn
      bucket_arn = aws_s3_bucket.undelivered.arn
    }
  }
}

data "aws_iam_policy_document" "stream_assumes" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["streams.metrics.cloudwatch.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "stream" {
  statement {
    actions   = ["firehose:PutRecord", "firehose:PutRecordBatch"]
    resources = [aws_kinesis_firehose_delivery_stream.halo.arn]
  }
}

resource "aws_iam_role" "stream" {
  name_prefix        = "halo-metric-stream-"
  assume_role_policy = data.aws_iam_policy_document.stream_assumes.json
}

resource "aws_iam_role_policy" "stream" {
  role   = aws_iam_role.stream.id
  policy = data.aws_iam_policy_document.stream.json
}

resource "aws_cloudwatch_metric_stream" "halo" {
  name          = "halo"
  role_arn      = aws_iam_role.stream.arn
  firehose_arn  = aws_kinesis_firehose_delivery_stream.halo.arn
  output_format = "opentelemetry1.0" # "json" does as well

  dynamic "include_filter" {
    for_each = var.namespaces
    content {
      namespace = include_filter.value
    }
  }
}
