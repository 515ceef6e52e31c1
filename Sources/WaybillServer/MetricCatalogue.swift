/// Every metric there is, with the words that `/metrics` shows; a test compares it with the code.
enum MetricCatalogue {
    static let help: [String: String] = [
        "waybill_requests_total": "Requests of devices, by route and status.",
        "waybill_connections": "Connections of devices that are open.",
        "waybill_refusals_total": "Requests and connections that were refused, by reason.",
        "waybill_request_seconds": "Time to answer a device's request.",
        "waybill_bundles_received_total": "Bundles that were answered as received: synced to disk.",
        "waybill_received_bytes_total": "Bytes of received bundles.",
        "waybill_receive_seconds": "Time from a bundle's request to its answer as received.",
        "waybill_open_bundles": "Bundles that are declared and not complete.",
        "waybill_open_bytes": "Bytes of the complete parts of unfinished bundles.",
        "waybill_open_bundles_expired_total": "Unfinished bundles that were given up by age.",
        "waybill_open_uploads": "Resumable uploads that are not complete.",
        "waybill_open_upload_bytes": "Bytes of resumable uploads that are not complete.",
        "waybill_open_uploads_expired_total": "Resumable uploads that were given up by age.",
        "waybill_log_records_total": "Records written to the queue's log and synced.",
        "waybill_log_written_bytes_total": "Bytes written to the queue's log.",
        "waybill_log_rewritten_segments_total":
            "Segments of the queue's log that were written anew without what is no longer needed.",
        "waybill_log_sync_seconds": "Time of a sync of the queue's log.",
        "waybill_bundles_settled_total": "Bundles whose transactions and receipt are committed.",
        "waybill_bundles_quarantined_total": "Bundles that could not be processed.",
        "waybill_bundles_lost_total": "Bundles whose copy here was damaged: to be sent again.",
        "waybill_bundles_repeated_total": "Deliveries of bundles that had their receipt already.",
        "waybill_batches_failed_total": "Batches that were given back: the database was away.",
        "waybill_transactions_settled_total": "Transactions, by outcome.",
        "waybill_settle_seconds": "Time from a batch's lease to its commit.",
        "waybill_dead_letters": "Bundles that are set aside and wait for an operator.",
        "waybill_dead_letter_bytes": "Bytes of sealed dead letters on this node.",
        "waybill_dead_letters_expired_total": "Dead letters discarded by retention or quota.",
        "waybill_dead_letter_files_swept_total": "Files without a dead letter, removed.",
    ]
}
