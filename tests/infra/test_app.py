STACKS = {f"change-streams-demo-{name}-stack" for name in ("vpc", "documentdb", "opensearch")}


def test_every_stack_has_its_name(synth):
    assert set(synth({})) >= STACKS
