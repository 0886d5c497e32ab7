"""The reference deployment on one machine: functions, gateway, event source mapping and what they call on AWS."""
