"""The reference deployment on one machine: functions, gateway, event source mapping, and the AWS services they use."""
