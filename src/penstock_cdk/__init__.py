"""penstock as CDK constructs, for one's own app; the reference deployment in `infra/` is made of them too.

Importing it readies Node, before anything imports aws_cdk.

sync          ChangeStreamSync: mappings, sync functions, the queue of parked keys, alarms
worker        PenstockWorker: the service that runs `penstock run`
api           SyncApi: writer, reader and config behind API Gateway
reactions     Reactions: functions that give changes to targets, with mappings of their own
dashboard     SyncDashboard: one page of it all
parts         what they stand on: network, cluster, domain; the connections these must allow
collections   the collections with their settings, and the files that travel along
code          the functions' code, built for their architecture, with these settings
streams       ChangeStreams: the config function, which enables change streams before anything reads them
alarms        alarms, those of the servers, and mail to an address
functions, roles, access, variables    one function, its role, its requests to the domain, its environment
sync_functions, queue, mapping, metrics, names  which sync functions there are, and what the others share
checks, findings, node                 what props must be; accepted findings of cdk-nag; Node
"""

from penstock_cdk.node import use_node_of_the_wheel

use_node_of_the_wheel()
