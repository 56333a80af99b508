"""The steps of a report: one module, one public function each."""
