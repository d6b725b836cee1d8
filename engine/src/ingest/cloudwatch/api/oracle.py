"""The signatures that `tests.rs` compares with, by botocore: pip install botocore; python oracle.py"""

import datetime
import unittest.mock

import botocore.auth
import botocore.awsrequest
import botocore.credentials

AT = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)

for token in (None, "session"):
    keys = botocore.credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    request = botocore.awsrequest.AWSRequest(
        "POST",
        "https://monitoring.eu-west-1.amazonaws.com",
        headers={
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": "GraniteServiceVersion20100801.ListMetrics",
        },
        data=b'{"Namespace":"AWS/EC2"}',
    )
    with unittest.mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: AT.replace(tzinfo=None)):
        botocore.auth.SigV4Auth(keys, "monitoring", "eu-west-1").add_auth(request)
    print(request.headers["X-Amz-Date"], request.headers["Authorization"])
