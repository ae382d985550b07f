//! Metrics in one expression: registered at first use, the handle kept in a static of their own.

/// A counter of the process-wide producer, registered at its first use.
///
/// Evaluates to a `&'static` [`Counter`](crate::Counter). Label values are
/// constants; for values known at run time only use a family, such as
/// [`CounterVec`](crate::CounterVec).
///
/// ```
/// use ringmeter::counter;
///
/// counter!("doc_orders_total", "Orders taken.", "region" => "eu").inc();
/// ```
#[macro_export]
macro_rules! counter {
    ($name:expr, $help:expr $(, $label:expr => $value:expr)* $(,)?) => {
        $crate::__metric!(Counter, $name, $help $(, $label => $value)*)
    };
}

/// A gauge of the process-wide producer, registered at its first use.
///
/// Evaluates to a `&'static` [`Gauge`](crate::Gauge). Label values are
/// constants; for values known at run time only use a family, such as
/// [`CounterVec`](crate::CounterVec).
///
/// ```
/// use ringmeter::gauge;
///
/// gauge!("doc_queue_length", "Jobs waiting.").set(3.0);
/// ```
#[macro_export]
macro_rules! gauge {
    ($name:expr, $help:expr $(, $label:expr => $value:expr)* $(,)?) => {
        $crate::__metric!(Gauge, $name, $help $(, $label => $value)*)
    };
}

/// A histogram of the process-wide producer, with the default buckets, registered at its first
/// use.
///
/// Evaluates to a `&'static` [`Histogram`](crate::Histogram). Label values are
/// constants; for values known at run time only use a family, such as
/// [`CounterVec`](crate::CounterVec).
///
/// ```
/// use ringmeter::histogram;
///
/// histogram!("doc_wait_seconds", "Time spent waiting.").observe(0.2);
/// ```
#[macro_export]
macro_rules! histogram {
    ($name:expr, $help:expr $(, $label:expr => $value:expr)* $(,)?) => {
        $crate::__metric!(Histogram, $name, $help $(, $label => $value)*)
    };
}

/// A summary of the process-wide producer, showing count, sum and the quantiles 0.5, 0.9 and
/// 0.99, registered at its first use.
///
/// Evaluates to a `&'static` [`Summary`](crate::Summary). Label values are
/// constants; for values known at run time only use a family, such as
/// [`CounterVec`](crate::CounterVec).
///
/// ```
/// use ringmeter::summary;
///
/// summary!("doc_size_bytes", "Size of an answer.").observe(512.0);
/// ```
#[macro_export]
macro_rules! summary {
    ($name:expr, $help:expr $(, $label:expr => $value:expr)* $(,)?) => {{
        static METRIC: $crate::Summary = $crate::Summary::new($name, $help)
            .with_labels(&[$(($label, $value)),*])
            .with_objectives(&[0.5, 0.9, 0.99]);
        &METRIC
    }};
}

/// Registers several statics with the process-wide producer, so that all of them exist at zero.
///
/// Evaluates to a `Result` with [`RegisterErrors`](crate::RegisterErrors), of which `expect` and
/// `?` show what is wrong with each metric.
///
/// ```
/// use ringmeter::{Counter, Gauge};
///
/// static ORDERS: Counter = Counter::new("doc_all_orders_total", "Orders taken.");
/// static QUEUE: Gauge = Gauge::new("doc_all_queue_length", "Jobs waiting.");
///
/// ringmeter::register!(ORDERS, QUEUE).expect("metrics are registered once, consistently");
/// ```
#[macro_export]
macro_rules! register {
    ($($metric:expr),* $(,)?) => {
        $crate::register_all(&[$(&$metric),*])
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __metric {
    ($type:ident, $name:expr, $help:expr $(, $label:expr => $value:expr)*) => {{
        static METRIC: $crate::$type =
            $crate::$type::new($name, $help).with_labels(&[$(($label, $value)),*]);
        &METRIC
    }};
}
