"""Commands that list things: a table for people, a list of objects for scripts."""

from llm_bridge.cli.outputs import Outputs


def show_records(
    json_target: str | None, records: list[dict], columns: dict[str, str], *, hidden: tuple[str, ...] = ()
) -> None:
    """Print the records as a table (`columns`: key -> heading) and write them as JSON, without the `hidden`
    keys, where asked.
    """
    from llm_bridge.report.document import plain
    from llm_bridge.report.tables import print_records

    outputs = Outputs(json_target)
    outputs.check()
    with outputs.reserved():
        if not outputs.on_stdout:
            print_records(outputs.console(), "", records, columns)
        outputs.write_json(
            plain([{key: value for key, value in record.items() if key not in hidden} for record in records])
        )
