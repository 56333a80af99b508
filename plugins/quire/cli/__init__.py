"""The ``quire`` command. The ``quire hooks`` commands are in ``inbound_webhooks``."""
