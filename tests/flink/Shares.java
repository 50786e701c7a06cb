import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

/**
 * A batch job on Flink's own API, where Beam's job server is not to be had: each element is a share of a plan, and a
 * task manager runs a pipeline process for it. Arguments: log file, command (up to `--`), shares.
 */
public final class Shares {
  public static void main(String[] args) throws Exception {
    List<String> words = Arrays.asList(args);
    int end = words.indexOf("--");
    List<String> command = new ArrayList<>(words.subList(1, end));
    List<String> shares = new ArrayList<>(words.subList(end + 1, words.size()));
    StreamExecutionEnvironment flink = StreamExecutionEnvironment.getExecutionEnvironment();
    flink.setRuntimeMode(RuntimeExecutionMode.BATCH);
    flink.fromData(shares).rebalance().map(new Scan(args[0], command)).name("scan").sinkTo(new DiscardingSink<>());
    flink.execute("shares");
  }

  /** Runs the pipeline of one share to its end; the task fails if the process does. */
  public static final class Scan implements MapFunction<String, String> {
    private final String log;
    private final ArrayList<String> command;

    Scan(String log, List<String> command) {
      this.log = log;
      this.command = new ArrayList<>(command);
    }

    @Override
    public String map(String share) throws Exception {
      List<String> whole = new ArrayList<>(command);
      whole.add("--share=" + share);
      ProcessBuilder.Redirect out = ProcessBuilder.Redirect.appendTo(new File(log));
      int status = new ProcessBuilder(whole).redirectErrorStream(true).redirectOutput(out).start().waitFor();
      if (status != 0) {
        throw new IllegalStateException(share + ": exit status " + status);
      }
      return share;
    }
  }
}
